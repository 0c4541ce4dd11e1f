//! The test suite: runs an engine over the corpus, judges every cell, reports.
//!
//! An engine and the corpus are *programs* to it, never libraries, so the same corpus judges a fresh build, an
//! installed package, or another engine altogether.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`cell`], [`partition`], [`corpus`] | what there is to run |
//! | [`engine`] | how an engine's programs are started |
//! | [`event`] | what travels between runner and host |
//! | [`runner`], [`oracle`] | the inside: executing cells and judging them, on a host or in a guest |
//! | [`driver`] | the outside: places to run in, retries, guests that die |
//! | [`verdict`], [`expectations`], [`report`], [`bundle`] | what is said about it afterwards |

pub mod cell;
pub mod corpus;
pub mod engine;
pub mod event;
pub mod expectations;
pub mod oracle;
pub mod partition;
pub mod runner;
pub mod verdict;
