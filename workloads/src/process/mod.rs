//! State of a process as a whole: its executable, arguments, names, break, prctl settings,
//! vdso, heap, stack.

mod vdso_symbols;

crate::framework::corpus! {
    mod comm;
    mod exe_link;
    mod arguments;
    mod arguments_overwritten;
    mod mm_fields;
    mod program_break;
    mod personality;
    mod thp_disabled;
    mod thp_except_advised;
    mod not_dumpable;
    mod timer_slack;
    mod thread_controls;
    mod speculation;
    mod io_flusher;
    #[cfg(target_arch = "x86_64")]
    mod cpuid_faulting;
    mod membarrier;
    mod memory_merge;
    mod deny_write_execute;
    mod coredump_filter;
    mod jit_code;
    mod deep_stack;
    mod statics;
    mod heap;
    mod loaded_library;
    mod new_programs;
    mod vdso;
    mod vdso_in_motion;
    mod system_calls_in_motion;
    mod forks_in_motion;
    mod allocations_in_motion;
}
