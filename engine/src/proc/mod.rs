//! /proc text turned into data.

pub mod smaps;
pub mod syscall;
