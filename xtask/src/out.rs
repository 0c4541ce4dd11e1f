//! Standard output, which whoever reads it may close at any moment (`cargo xtask test --dry-run |
//! head`).

use std::io::{self, Write};

use anyhow::{Context, Result};

/// Prints a text; that nobody reads it any more is no error.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("write to standard output"),
    }
}
