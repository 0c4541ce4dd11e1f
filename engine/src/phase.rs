//! The phases of a checkpoint and of a restart, as reported by the engine, printed by `--plan`, and
//! drawn in `docs/architecture.md`.

use std::fmt;

macro_rules! phases {
    ($(#[$doc:meta])* $name:ident { $($phase:ident: $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = $text] $phase,)*
        }

        impl $name {
            /// In the order in which they are passed through.
            pub const ALL: &[$name] = &[$($name::$phase),*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($name::$phase => $text,)*
                })
            }
        }
    };
}

phases! {
    /// A phase of a checkpoint. With `--stop` and `--kill`, the last two are exchanged.
    Checkpoint {
        Freeze: "freeze",
        Inspect: "inspect",
        Ask: "ask",
        Copy: "copy",
        Thaw: "thaw",
        Write: "write",
    }
}

phases! {
    /// A phase of a restart.
    Restart {
        OpenFiles: "open files",
        CreateProcesses: "create processes",
        RestoreMmAndFds: "restore mm and fds",
        MoveDescriptors: "move descriptors",
        RestoreAttributes: "restore attributes",
        ArmTimers: "arm timers",
        Finalize: "finalize",
        Release: "release",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARCHITECTURE: &str = include_str!("../../docs/architecture.md");

    /// The diagram under a heading, and the text up to the next one.
    fn section(heading: &str) -> (&'static str, &'static str) {
        let (_, after) = ARCHITECTURE.split_once(&format!("\n### {heading}\n")).expect("a heading");
        let end = after.find("\n## ").unwrap_or(after.len()).min(after.find("\n### ").unwrap_or(after.len()));
        let mut parts = after[..end].split("```");
        parts.next();
        let diagram = parts.next().expect("a diagram");
        (diagram, parts.next().expect("text after it"))
    }

    fn is_drawn_and_described(heading: &str, phases: &[impl fmt::Display]) {
        let (diagram, text) = section(heading);
        let steps: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_once(". **")?.1.split_once("**"))
            .map(|(step, _)| step.trim_end_matches(['.', ',']).to_lowercase())
            .collect();
        let names: Vec<String> = phases.iter().map(ToString::to_string).collect();
        assert_eq!(steps, names, "the numbered steps of {heading:?}");
        for name in names {
            assert!(diagram.contains(&name), "{name} is not in the diagram of {heading:?}");
        }
    }

    #[test]
    fn the_diagrams_show_the_phases() {
        is_drawn_and_described("A checkpoint", Checkpoint::ALL);
        is_drawn_and_described("A restart", Restart::ALL);
    }
}
