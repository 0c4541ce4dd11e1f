//! Initramfs, machines, boot and the result channel; kernels come from `cairn-kernels`.
//!
//! The road of a guest, one module a stage:
//!
//! | stage | module |
//! | --- | --- |
//! | which kernels there are, and modules for them | [`kernels`], [`kmod`], [`setup`] |
//! | what the guest's file system holds | [`initramfs`] |
//! | what PID 1 (`cairn-init`) is told to run | [`job`] |
//! | which machine to emulate, and whether the hardware helps | [`machine`], [`accel`] |
//! | running it, and everything it says | [`guest`], [`splat`] |
//!
//! Nothing here knows of checkpoints: a job is a command, its standard output is the result port,
//! and only what arrives on that port counts.

#![deny(unsafe_code)]

#[cfg(feature = "host")]
pub mod accel;
#[cfg(feature = "host")]
pub mod guest;
#[cfg(feature = "host")]
pub mod initramfs;
pub mod job;
#[cfg(feature = "host")]
pub mod machine;
pub mod splat;

#[cfg(feature = "host")]
pub use cairn_kernels::{Arch, Cache, arch, cache, kernels, kmod, progress, setup};
pub use job::Job;
