//! The context file that an argument names: a path, or `-` for standard input or output.

use anyhow::{Context, bail};
use cairn::image::{Location, Stream};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const STREAM: &str = "-";

/// Where to write one. A stream is waited for no longer than `patience`.
pub fn output(path: &Path, patience: Duration) -> anyhow::Result<Location> {
    if path != Path::new(STREAM) {
        let path = std::path::absolute(path).with_context(|| format!("resolve {}", path.display()))?;
        return Ok(path.into());
    }
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        bail!(
            "refusing to write a context file to a terminal; redirect standard output, or name a file with -o"
        );
    }
    let fd = stdout.as_fd().try_clone_to_owned().context("duplicate standard output")?;
    Ok(Location::Stream(Arc::new(Stream::new(fd, "standard output").with_patience(patience))))
}

/// Where to read one from.
pub fn input(path: &Path) -> anyhow::Result<Location> {
    if path != Path::new(STREAM) {
        return Ok(path.into());
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        bail!("no context file comes from a terminal; redirect standard input, or name a file");
    }
    let fd = stdin.as_fd().try_clone_to_owned().context("duplicate standard input")?;
    Ok(Location::Stream(Arc::new(Stream::new(fd, "standard input"))))
}
