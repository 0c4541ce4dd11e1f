//! Exit codes of errors: 2 for a wrong command line, 3 for anything else that keeps a command from
//! working.

use std::fmt;

use anyhow::Error;
use cairn_qemu::kernels;
use cairn_testsuite::cell::CellError;
use cairn_testsuite::expectations::ExpectationsError;
use cairn_testsuite::partition::BadPartition;
use cairn_testsuite::report::MergeError;

/// Exit code of a wrong command line.
const WRONG: u8 = 2;
/// Exit code when a requirement is missing or fails.
const INFRASTRUCTURE: u8 = 3;

/// A command line that is wrong on any machine.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// `bail!` for a wrong command line.
macro_rules! usage {
    ($($word:tt)*) => { return Err($crate::usage::Usage(format!($($word)*)).into()) };
}
pub(crate) use usage;

/// The exit code for an error.
pub fn exit_code(error: &Error) -> u8 {
    let wrong = error.chain().any(|cause| {
        use kernels::Error::{Host, Path, Unknown};
        cause.is::<Usage>()
            || cause.is::<CellError>()
            || cause.is::<ExpectationsError>()
            || cause.is::<BadPartition>()
            || cause.is::<MergeError>()
            || cause.is::<kernels::selector::NotASelector>()
            || matches!(cause.downcast_ref(), Some(Host | Path { .. } | Unknown { .. }))
    });
    if wrong { WRONG } else { INFRASTRUCTURE }
}

/// The error and its causes, without causes that the preceding text already contains.
pub fn told(error: &Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Result, anyhow};

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let disk = || std::io::Error::from_raw_os_error(28);
        let said = anyhow!(disk()).context(format!("write x: {}", disk())).context("save");
        assert_eq!(told(&said), format!("save: write x: {}", disk()));
        assert_eq!(told(&anyhow!(disk()).context("write x")), format!("write x: {}", disk()));
    }

    #[test]
    fn a_wrong_command_line_and_a_broken_machine_are_told_apart() {
        let wrong = || -> Result<()> { usage!("--partition {}: no such part", 7) };
        let error = wrong().context("select cells").unwrap_err();
        assert_eq!(
            (exit_code(&error), format!("{error:#}")),
            (2, "select cells: --partition 7: no such part".into())
        );
        let glob = cairn_testsuite::cell::Selection::new(&["pipes/[x"]).unwrap_err();
        assert_eq!(exit_code(&glob.into()), 2);
        let disk = std::io::Error::from_raw_os_error(28);
        assert_eq!(exit_code(&anyhow!(disk).context("write results.json")), 3);
    }
}
