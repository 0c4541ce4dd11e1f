//! The test suite: runs an engine over the corpus, judges every cell, reports.
//!
//! An engine and the corpus are *programs* to it, never libraries, so the same corpus judges a
//! fresh build, an installed package, or another engine altogether.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`cell`], [`partition`], [`corpus`] | what there is to run |
//! | [`engine`] | how an engine's programs are started |
//! | [`event`] | what travels between runner and host |
//! | [`runner`], [`oracle`] | the inside: executing cells and judging them, on a host or in a guest |
//! | [`driver`] | the outside: places to run in, retries, guests that die |
//! | [`verdict`], [`expectations`], [`release`], [`report`], [`bundle`] | what is said about it afterwards |
//!
//! The runner needs only the inside; it is built without the feature `host`.

pub mod cell;
pub mod corpus;
pub mod engine;
pub mod event;
pub mod oracle;
pub mod runner;
pub mod verdict;

#[cfg(feature = "host")]
pub mod bundle;
#[cfg(feature = "host")]
pub mod driver;
#[cfg(feature = "host")]
pub mod expectations;
#[cfg(feature = "host")]
pub mod partition;
#[cfg(feature = "host")]
pub mod release;
#[cfg(feature = "host")]
pub mod report;
