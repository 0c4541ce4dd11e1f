//! Initramfs, machines, boot and the result channel; kernels come from `cairn-kernels`.
//!
//! The stages of running a guest and their modules:
//!
//! | stage | module |
//! | --- | --- |
//! | available kernels, and modules for them | [`kernels`], [`kmod`], [`setup`] |
//! | contents of the guest's file system | [`initramfs`] |
//! | the job that PID 1 (`cairn-init`) runs | [`job`] |
//! | the machine to emulate, and whether KVM is usable | [`machine`], [`accel`], [`probe`] |
//! | running the guest, and its output | [`guest`], [`splat`] |
//!
//! Nothing here depends on checkpoints: a job is a command, its standard output is the result port,
//! and only output on that port counts as a result.

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
#[cfg(feature = "host")]
pub mod probe;
pub mod splat;

#[cfg(feature = "host")]
pub use cairn_kernels::{Arch, Cache, arch, cache, kernels, kmod, progress, setup};
pub use job::GuestJob;
