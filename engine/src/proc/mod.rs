//! /proc text turned into data.

pub mod maps;
pub mod smaps;
pub mod syscall;
