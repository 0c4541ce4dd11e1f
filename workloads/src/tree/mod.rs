//! Process trees: parents, sessions, process groups, zombies, orphans, and notification of exits.

pub mod helpers;
mod in_one_memory;

crate::framework::corpus! {
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
    mod looked_at_zombie;
    mod new_children;
    mod orphan;
    mod parent_death_signal;
    mod parent_death_signal_of_root;
    mod process_groups;
    mod session_leader_gone;
    mod sessions;
    mod shares_memory;
    mod shares_signal_actions;
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
}
