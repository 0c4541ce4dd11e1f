//! Credentials and per-process settings: ids, groups, capabilities, limits, scheduling, prctl state.

mod ambient_set;
mod beyond_its_rights;
mod bounding_set;
mod capabilities;
mod dropped_with_settings;
mod group_ids;
mod groups;
mod io_priority;
mod killed_first;
pub mod kit;
mod limits;
mod limits_exceeded;
mod nice;
mod nice_negative;
mod no_new_privileges;
mod policies;
mod processors;
mod root_set_aside;
mod securebits;
mod spared;
mod threads_differ;
mod user_ids;
mod user_with_capabilities;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &ambient_set::WORKLOAD,
    &beyond_its_rights::WORKLOAD,
    &bounding_set::WORKLOAD,
    &capabilities::WORKLOAD,
    &dropped_with_settings::WORKLOAD,
    &group_ids::WORKLOAD,
    &groups::WORKLOAD,
    &io_priority::WORKLOAD,
    &killed_first::WORKLOAD,
    &limits::WORKLOAD,
    &limits_exceeded::WORKLOAD,
    &nice::WORKLOAD,
    &nice_negative::WORKLOAD,
    &no_new_privileges::WORKLOAD,
    &policies::WORKLOAD,
    &processors::WORKLOAD,
    &root_set_aside::WORKLOAD,
    &securebits::WORKLOAD,
    &spared::WORKLOAD,
    &threads_differ::WORKLOAD,
    &user_ids::WORKLOAD,
    &user_with_capabilities::WORKLOAD,
];
