//! Parses the tables of the document into rows, without any I/O.

use std::fmt;

/// The header of every table that is read.
pub const HEAD: &str = "| what | state | how, or why | proof |";
/// The line below the header.
pub const RULE: &str = "| --- | --- | --- | --- |";
/// The section with the names that need no row.
const STATELESS: &str = "## Names that leave nothing behind";

/// What happens to a piece of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Saved and restored.
    Saved,
    /// A reason to refuse the checkpoint.
    Refused,
    /// That of the restarting process, or of a new task.
    Reset,
    /// Not visible to the engine.
    NotSeen,
}

impl State {
    /// All states.
    pub const ALL: [State; 4] = [State::Saved, State::Refused, State::Reset, State::NotSeen];

    fn word(self) -> &'static str {
        match self {
            State::Saved => "saved",
            State::Refused => "refused",
            State::Reset => "reset",
            State::NotSeen => "not seen",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its line number, from 1.
    pub line: usize,
    /// The code spans of its first cell.
    pub names: Vec<String>,
    /// `None` if the word is none of the four.
    pub state: Option<State>,
    /// How it is saved, or why not.
    pub reason: String,
    /// Workloads and tests.
    pub proofs: Vec<String>,
}

/// The parsed document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// In order.
    pub rows: Vec<Row>,
    /// Names that need no row, with their lines.
    pub stateless: Vec<(usize, String)>,
    /// `line: problem`
    pub complaints: Vec<String>,
}

impl Document {
    /// Every name, with its line.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        let in_rows = self.rows.iter().flat_map(|row| row.names.iter().map(|name| (row.line, name.as_str())));
        in_rows.chain(self.stateless.iter().map(|(line, name)| (*line, name.as_str())))
    }
}

/// Parses the document.
pub fn parse(text: &str) -> Document {
    let mut document = Document::default();
    let (mut in_table, mut in_list) = (false, false);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.starts_with('#') {
            in_list = line == STATELESS;
        }
        if !line.starts_with('|') {
            in_table = false;
            if in_list {
                document.stateless.extend(marked(line).into_iter().map(|name| (number, name)));
            }
        } else if !in_table {
            in_table = true;
            if line != HEAD {
                document.complaints.push(format!("{number}: a table without the header `{HEAD}`"));
            }
        } else if line != RULE {
            match cells(line) {
                Some([what, state, reason, proof]) => document.rows.push(Row {
                    line: number,
                    names: marked(what),
                    state: State::ALL.into_iter().find(|s| s.word() == state),
                    reason: reason.to_owned(),
                    proofs: marked(proof),
                }),
                None => document.complaints.push(format!("{number}: a row must have four cells")),
            }
        }
    }
    document
}

fn cells(line: &str) -> Option<[&str; 4]> {
    let inner = line.trim_end().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
    cells.try_into().ok()
}

/// The texts between backquotes.
fn marked(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_lists_are_read() {
        let text = format!(
            "# Title\n\n{HEAD}\n{RULE}\n\
             | name (`comm`, `PR_SET_NAME`) | saved | up to 15 bytes | `threads/names`, `a.rs::b` |\n\
             | start time | reset | it starts anew | |\n\n\
             {STATELESS}\n\n`getpid`, `read`:\n`write`\n\n## More\n\n`open`\n"
        );
        let document = parse(&text);
        assert!(document.complaints.is_empty());
        let [name, start] = document.rows.as_slice() else { panic!("{:?}", document.rows) };
        assert_eq!((name.line, name.state), (5, Some(State::Saved)));
        assert_eq!(name.names, ["comm", "PR_SET_NAME"]);
        assert_eq!(name.proofs, ["threads/names", "a.rs::b"]);
        assert_eq!((start.state, start.reason.as_str()), (Some(State::Reset), "it starts anew"));
        assert!(start.proofs.is_empty());
        let stateless: Vec<_> =
            document.stateless.iter().map(|(line, name)| (*line, name.as_str())).collect();
        assert_eq!(stateless, [(10, "getpid"), (10, "read"), (11, "write")]);
        assert_eq!(document.names().count(), 5);
    }

    #[test]
    fn what_is_no_row_is_told_with_its_line() {
        let document = parse(&format!("{HEAD}\n{RULE}\n| a | saved | b |\n| c | d\n\n| other | table |\n"));
        assert!(document.rows.is_empty());
        let lines: Vec<_> = document.complaints.iter().map(|c| c.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["3", "4", "6"]);
    }
}
