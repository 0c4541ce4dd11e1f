//! Credentials and per-process settings: ids, groups, capabilities, limits, scheduling, prctl
//! state.

pub mod helpers;

crate::framework::corpus! {
    mod ambient_set;
    mod beyond_its_rights;
    mod bounding_set;
    mod capabilities;
    mod dropped_with_settings;
    mod group_ids;
    mod groups;
    mod io_priority;
    mod killed_first;
    mod limits;
    mod limits_exceeded;
    mod nice;
    mod nice_negative;
    mod no_new_privileges;
    mod policies;
    mod processors;
    mod requested_keys;
    mod root_set_aside;
    mod securebits;
    mod session_nice;
    mod spared;
    mod threads_differ;
    mod user_ids;
    mod user_with_capabilities;
}
