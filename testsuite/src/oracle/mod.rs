//! The judges beside the workload itself: each looks at one thing and says what is wrong with it.

pub mod fixpoint;
pub mod kmsg;
pub mod leak;
