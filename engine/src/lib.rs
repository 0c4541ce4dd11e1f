//! cairn: checkpoint and restart of Linux processes.
#![deny(unsafe_code)]

pub mod activity;
pub mod arch;
pub mod checkpoint;
pub mod error;
#[cfg(feature = "planted-faults")]
pub mod fault;
pub mod image;
pub mod proc;
pub mod remote;
pub mod resource;
pub mod restart;
pub mod source;
pub mod sys;
pub mod tree;
