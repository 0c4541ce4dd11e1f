//! Signal actions, masks, queues, alternate stacks, and handlers and waits that a checkpoint finds running.

mod action_table;
mod alternate_stacks;
mod chosen_thread;
mod ends_calls;
mod fault_handler;
mod full_queue;
mod handler_runs;
mod ignored;
mod nested_handlers;
mod no_child_wait;
mod on_alternate_stack;
mod pause;
mod pending_deadly;
mod pending_process;
mod pending_sigchld;
mod pending_thread;
mod ppoll_mask;
mod realtime_order;
mod restart_read;
mod siginfo_verbatim;
mod sigsuspend;
mod sigwait;
mod standard_merges;
mod stop_unreported;
mod stopped_child;
mod stopped_with_pending;
mod storm;
mod thread_masks;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &action_table::WORKLOAD,
    &alternate_stacks::WORKLOAD,
    &chosen_thread::WORKLOAD,
    &ends_calls::WORKLOAD,
    &fault_handler::WORKLOAD,
    &full_queue::WORKLOAD,
    &handler_runs::WORKLOAD,
    &ignored::WORKLOAD,
    &nested_handlers::WORKLOAD,
    &no_child_wait::WORKLOAD,
    &on_alternate_stack::WORKLOAD,
    &pause::WORKLOAD,
    &pending_deadly::WORKLOAD,
    &pending_process::WORKLOAD,
    &pending_sigchld::WORKLOAD,
    &pending_thread::WORKLOAD,
    &ppoll_mask::WORKLOAD,
    &realtime_order::WORKLOAD,
    &restart_read::WORKLOAD,
    &siginfo_verbatim::WORKLOAD,
    &sigsuspend::WORKLOAD,
    &sigwait::WORKLOAD,
    &standard_merges::WORKLOAD,
    &stop_unreported::WORKLOAD,
    &stopped_child::WORKLOAD,
    &stopped_with_pending::WORKLOAD,
    &storm::WORKLOAD,
    &thread_masks::WORKLOAD,
];
