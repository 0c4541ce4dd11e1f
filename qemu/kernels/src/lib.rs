//! Kernels of a distribution's archive, verified and cached, and modules built for them.
//!
//! | stage | module |
//! | --- | --- |
//! | programs and files that the host lacks | [`setup`] |
//! | finding kernels, and fetching them verified | [`kernels`] |
//! | building the kernel module for each of them | [`kmod`] |
//! | the cache directory | [`cache`] |

#![deny(unsafe_code)]

pub mod arch;
pub mod cache;
pub mod kernels;
pub mod kmod;
pub mod progress;
pub mod setup;

pub use arch::Arch;
pub use cache::Cache;
