//! Parsers for files in /proc.

use std::fs::File;
use std::io::{self, Read};

pub mod cgroup;
pub mod fdinfo;
pub mod maps;
pub mod notify;
pub mod smaps;
pub mod stat;
pub mod status;
pub mod syscall;

/// Reads a file whose contents the kernel generates at once (fs/seq_file.c, `single_open`): in one
/// read(2) if it is short.
///
/// # Errors
/// As open(2) and read(2).
pub fn read_short(path: &str) -> io::Result<Vec<u8>> {
    const SHORT: usize = 4096;
    let mut file = File::open(path)?;
    let mut text = vec![0u8; SHORT];
    let len = file.read(&mut text)?;
    text.truncate(len);
    if len == SHORT {
        file.read_to_end(&mut text)?;
    }
    Ok(text)
}
