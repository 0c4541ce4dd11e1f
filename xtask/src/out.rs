//! Standard output, which the reader may close at any time (`cargo xtask test --dry-run | head`).

use std::io::{self, Write};

use anyhow::{Context, Result};

/// Prints a text; a closed pipe is not an error.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("write to standard output"),
    }
}
