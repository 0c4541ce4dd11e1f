//! The oracles other than the workload itself: each checks one property and reports what is wrong.

pub mod fixpoint;
pub mod kmsg;
pub mod leak;
