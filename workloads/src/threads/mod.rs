//! Threads: how many, where they block, per-thread state.

mod crowd;
mod leaderless;
mod rseq;

crate::framework::corpus! {
    mod two;
    mod sixteen;
    mod hundred;
    mod mutex;
    mod inherited_priority_mutex;
    mod robust_mutex;
    mod condition;
    mod barrier;
    mod semaphore;
    mod futex_bitset;
    mod futex_deadline;
    mod pipe_readers;
    mod poll;
    mod select;
    mod long_sleep;
    mod sleep_until;
    mod sigwait;
    mod pause;
    mod join;
    mod local_data;
    mod names;
    mod personality;
    mod restartable_sequences;
    mod raw_clone;
    mod leader_gone;
    mod leader_status;
    mod leader_gone_family;
    mod leader_gone_stopped;
    mod affinity;
    mod scheduling;
    mod utilisation;
    mod stacks;
    mod ping_pong_in_motion;
    mod computing_in_motion;
    mod come_and_go;
    mod made_afterwards;
    mod cancelled;
    mod critical_sections_in_motion;
}
