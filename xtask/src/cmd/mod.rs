//! One file per command. Each has `Args` and `run`, which returns whether it succeeded (exit 0) or
//! not (exit 1); errors as in [`usage`](crate::usage).

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
