//! Signal actions, masks, queues, alternate stacks, and handlers and waits that a checkpoint finds
//! running.

crate::framework::corpus! {
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
}
