//! The test suite: runs an engine over the corpus, judges every cell, reports.
//!
//! The engine and the corpus are run as *programs*, never linked as libraries, so the same corpus
//! judges a fresh build, an installed package, or a different engine.
//!
//! | module | contents |
//! | --- | --- |
//! | [`cell`], [`partition`], [`corpus`] | cells and workloads |
//! | [`engine`] | how an engine's programs are started |
//! | [`event`] | the protocol between runner and host |
//! | [`runner`], [`oracle`] | the inside: executing cells and judging them, on a host or in a guest |
//! | [`driver`] | the outside: places to run in, retries, guests that die |
//! | [`verdict`], [`expectations`], [`release`], [`report`], [`bundle`] | verdicts and reports |
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
