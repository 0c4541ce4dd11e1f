//! What belongs to a process as a whole: its executable, arguments, names, break, prctl settings, vdso, heap, stack.

mod comm;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[&comm::WORKLOAD];
