//! Registers of aarch64.

use super::scalar_in_motion;
use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[&scalar_in_motion::WORKLOAD];
