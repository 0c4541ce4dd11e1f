//! What belongs to a process as a whole: its executable, arguments, names, break, prctl settings, vdso, heap, stack.

mod allocations_in_motion;
mod arguments;
mod arguments_overwritten;
mod comm;
mod coredump_filter;
#[cfg(target_arch = "x86_64")]
mod cpuid_faulting;
mod deep_stack;
mod deny_write_execute;
mod exe_link;
mod forks_in_motion;
mod heap;
mod io_flusher;
mod jit_code;
mod loaded_library;
mod membarrier;
mod memory_merge;
mod mm_fields;
mod new_programs;
mod not_dumpable;
mod personality;
mod program_break;
mod speculation;
mod statics;
mod system_calls_in_motion;
mod thp_disabled;
mod thp_except_advised;
mod thread_controls;
mod timer_slack;
mod vdso;
mod vdso_in_motion;
mod vdso_symbols;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &comm::WORKLOAD,
    &exe_link::WORKLOAD,
    &arguments::WORKLOAD,
    &arguments_overwritten::WORKLOAD,
    &mm_fields::WORKLOAD,
    &program_break::WORKLOAD,
    &personality::WORKLOAD,
    &thp_disabled::WORKLOAD,
    &thp_except_advised::WORKLOAD,
    &not_dumpable::WORKLOAD,
    &timer_slack::WORKLOAD,
    &thread_controls::WORKLOAD,
    &speculation::WORKLOAD,
    &io_flusher::WORKLOAD,
    #[cfg(target_arch = "x86_64")]
    &cpuid_faulting::WORKLOAD,
    &membarrier::WORKLOAD,
    &memory_merge::WORKLOAD,
    &deny_write_execute::WORKLOAD,
    &coredump_filter::WORKLOAD,
    &jit_code::WORKLOAD,
    &deep_stack::WORKLOAD,
    &statics::WORKLOAD,
    &heap::WORKLOAD,
    &loaded_library::WORKLOAD,
    &new_programs::WORKLOAD,
    &vdso::WORKLOAD,
    &vdso_in_motion::WORKLOAD,
    &system_calls_in_motion::WORKLOAD,
    &forks_in_motion::WORKLOAD,
    &allocations_in_motion::WORKLOAD,
];
