//! Kernels, initramfs, machines, boot and the result channel.
//!
//! The road of a guest, one module a stage:
//!
//! | stage | module |
//! | --- | --- |
//! | what the host lacks | [`setup`] |
//! | which kernels there are, and getting one, verified | [`kernels`] |
//! | a kernel module, built for each of them | [`kmod`] |
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
pub mod arch;
#[cfg(feature = "host")]
pub mod cache;
#[cfg(feature = "host")]
pub mod guest;
#[cfg(feature = "host")]
pub mod initramfs;
pub mod job;
#[cfg(feature = "host")]
pub mod kernels;
#[cfg(feature = "host")]
pub mod kmod;
#[cfg(feature = "host")]
pub mod machine;
pub mod progress;
#[cfg(feature = "host")]
pub mod setup;
pub mod splat;

pub use arch::Arch;
#[cfg(feature = "host")]
pub use cache::Cache;
pub use job::Job;
