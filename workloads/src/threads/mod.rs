//! Threads: how many, where they block, what belongs to each of them.

mod affinity;
mod barrier;
mod cancelled;
mod come_and_go;
mod computing_in_motion;
mod condition;
mod critical_sections_in_motion;
mod crowd;
mod futex_bitset;
mod futex_deadline;
mod hundred;
mod inherited_priority_mutex;
mod join;
mod leader_gone;
mod local_data;
mod long_sleep;
mod made_afterwards;
mod mutex;
mod names;
mod pause;
mod ping_pong_in_motion;
mod pipe_readers;
mod poll;
mod raw_clone;
mod restartable_sequences;
mod robust_mutex;
mod rseq;
mod scheduling;
mod select;
mod semaphore;
mod sigwait;
mod sixteen;
mod sleep_until;
mod stacks;
mod two;
mod utilisation;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &two::WORKLOAD,
    &sixteen::WORKLOAD,
    &hundred::WORKLOAD,
    &mutex::WORKLOAD,
    &inherited_priority_mutex::WORKLOAD,
    &robust_mutex::WORKLOAD,
    &condition::WORKLOAD,
    &barrier::WORKLOAD,
    &semaphore::WORKLOAD,
    &futex_bitset::WORKLOAD,
    &futex_deadline::WORKLOAD,
    &pipe_readers::WORKLOAD,
    &poll::WORKLOAD,
    &select::WORKLOAD,
    &long_sleep::WORKLOAD,
    &sleep_until::WORKLOAD,
    &sigwait::WORKLOAD,
    &pause::WORKLOAD,
    &join::WORKLOAD,
    &local_data::WORKLOAD,
    &names::WORKLOAD,
    &restartable_sequences::WORKLOAD,
    &raw_clone::WORKLOAD,
    &leader_gone::WORKLOAD,
    &affinity::WORKLOAD,
    &scheduling::WORKLOAD,
    &utilisation::WORKLOAD,
    &stacks::WORKLOAD,
    &ping_pong_in_motion::WORKLOAD,
    &computing_in_motion::WORKLOAD,
    &come_and_go::WORKLOAD,
    &made_afterwards::WORKLOAD,
    &cancelled::WORKLOAD,
    &critical_sections_in_motion::WORKLOAD,
];
