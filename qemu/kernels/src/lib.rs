//! Kernels of a distribution's archive, verified and cached, and modules built for them.
//!
//! | stage | module |
//! | --- | --- |
//! | what the host lacks | [`setup`] |
//! | which kernels there are, and getting one, verified | [`kernels`] |
//! | a kernel module, built for each of them | [`kmod`] |
//! | where all of it is kept | [`cache`] |

#![deny(unsafe_code)]

pub mod arch;
pub mod cache;
pub mod kernels;
pub mod kmod;
pub mod progress;
pub mod setup;

pub use arch::Arch;
pub use cache::Cache;
