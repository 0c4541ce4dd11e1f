//! cairn: checkpoint and restart of Linux processes.
#![deny(unsafe_code)]

pub mod image;
pub mod proc;
