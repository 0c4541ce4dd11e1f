//! Debian's control format (`deb822(5)`): stanzas of `Field: value` with continuation lines. Pure.

/// One stanza, borrowed from the text.
#[derive(Clone, Copy, Debug)]
pub struct Stanza<'a>(&'a str);

impl<'a> Stanza<'a> {
    /// The value of a field (names are case-insensitive), trimmed, without continuation lines.
    pub fn get(&self, field: &str) -> Option<&'a str> {
        self.find(field).map(|(first, _)| first)
    }

    /// The continuation lines of a field, trimmed.
    pub fn lines(&self, field: &str) -> impl Iterator<Item = &'a str> {
        let rest = self.find(field).map(|(_, rest)| rest).unwrap_or_default();
        rest.lines().take_while(|line| line.starts_with([' ', '\t'])).map(str::trim)
    }

    fn find(&self, field: &str) -> Option<(&'a str, &'a str)> {
        let mut rest = self.0;
        while !rest.is_empty() {
            let (line, tail) = rest.split_once('\n').unwrap_or((rest, ""));
            if !line.starts_with([' ', '\t', '#'])
                && let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case(field)
            {
                return Some((value.trim(), tail));
            }
            rest = tail;
        }
        None
    }
}

/// The stanzas of a text, in order.
pub fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    text.split("\n\n")
        .map(|chunk| chunk.trim_start_matches('\n'))
        .filter(|c| !c.trim().is_empty())
        .map(Stanza)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\nPackage: a\nVersion:1\nDescription: x\n longer\n .\n\n\n# c\nPackage: b\nSHA256:\n 00 1 x\n 11 2 y\n";

    #[test]
    fn fields_and_continuations() {
        let all: Vec<_> = stanzas(TEXT).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("package"), Some("a"));
        assert_eq!(all[0].get("Version"), Some("1"));
        assert_eq!(all[0].get("longer"), None);
        assert_eq!(all[0].lines("Description").collect::<Vec<_>>(), ["longer", "."]);
        assert_eq!(all[1].get("SHA256"), Some(""));
        assert_eq!(all[1].lines("SHA256").collect::<Vec<_>>(), ["00 1 x", "11 2 y"]);
        assert_eq!(all[1].lines("Nope").count(), 0);
    }
}
