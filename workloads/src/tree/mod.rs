//! Process trees: parents, sessions, process groups, zombies, orphans, and who learns of whose end.

mod blocked_in_wait;
mod bushy;
mod child;
mod child_ends_after;
mod continued_unreported;
mod daemon;
mod deep;
mod executed;
mod exit_signal;
mod forking_in_motion;
mod grandchild_zombie;
mod group_leader_gone;
mod group_leader_zombie;
mod job;
mod kit;
mod looked_at_zombie;
mod new_children;
mod orphan;
mod parent_death_signal;
mod parent_death_signal_of_root;
mod process_groups;
mod session_leader_gone;
mod sessions;
mod sibling;
mod stopped_group;
mod subreaper;
mod threads_in_children;
mod wait_in_thread;
mod wide;
mod zombie_core;
mod zombie_exit_signal;
mod zombie_ids;
mod zombies;
mod zombies_killed;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &blocked_in_wait::WORKLOAD,
    &bushy::WORKLOAD,
    &child::WORKLOAD,
    &child_ends_after::WORKLOAD,
    &continued_unreported::WORKLOAD,
    &daemon::WORKLOAD,
    &deep::WORKLOAD,
    &executed::WORKLOAD,
    &exit_signal::WORKLOAD,
    &forking_in_motion::WORKLOAD,
    &grandchild_zombie::WORKLOAD,
    &group_leader_gone::WORKLOAD,
    &group_leader_zombie::WORKLOAD,
    &job::WORKLOAD,
    &looked_at_zombie::WORKLOAD,
    &new_children::WORKLOAD,
    &orphan::WORKLOAD,
    &parent_death_signal::WORKLOAD,
    &parent_death_signal_of_root::WORKLOAD,
    &process_groups::WORKLOAD,
    &session_leader_gone::WORKLOAD,
    &sessions::WORKLOAD,
    &sibling::WORKLOAD,
    &stopped_group::WORKLOAD,
    &subreaper::WORKLOAD,
    &threads_in_children::WORKLOAD,
    &wait_in_thread::WORKLOAD,
    &wide::WORKLOAD,
    &zombie_core::WORKLOAD,
    &zombie_exit_signal::WORKLOAD,
    &zombie_ids::WORKLOAD,
    &zombies::WORKLOAD,
    &zombies_killed::WORKLOAD,
];
