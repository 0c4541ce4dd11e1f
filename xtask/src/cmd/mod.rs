//! One file a command. Each has `Args` and `run`, which says whether the answer is yes (exit 0) or
//! no (exit 1); an error is exit 2.

pub mod bench;
pub mod check;
pub mod dkms;
pub mod header_check;
pub mod kernel;
pub mod kernels;
pub mod kmod;
pub mod kmod_test;
pub mod report;
pub mod repro;
pub mod saved_check;
pub mod sensitivity;
pub mod shell;
pub mod test;
pub mod tidy;
pub mod workloads;
