//! /proc text turned into data.

use std::fs::File;
use std::io::{self, Read};

pub mod fdinfo;
pub mod maps;
pub mod smaps;
pub mod stat;
pub mod status;
pub mod syscall;

/// The text of a file that the kernel makes as a whole (fs/seq_file.c, `single_open`): by one read,
/// as long as it is short.
///
/// # Errors
/// What open(2) and read(2) say.
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
