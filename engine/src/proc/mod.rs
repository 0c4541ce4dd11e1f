//! /proc text turned into data.

pub mod brief;
pub mod maps;
pub mod smaps;
pub mod syscall;
