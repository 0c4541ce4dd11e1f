//! Open files: offsets, flags, sharing, names and unlinked contents; directories, current directory, root, umask.

mod access_modes;
mod appending;
mod close_on_exec;
mod deleted_directory;
mod devices;
mod directory_handles;
mod directory_mid_read;
mod directory_of_unlinked;
mod duplicates;
mod growing;
mod hard_links;
mod high_numbers;
mod inherited;
mod kit;
mod link_removed;
mod many;
mod name_reused;
mod odd_names;
mod offsets;
mod own_root;
mod proc_in_motion;
mod read_only;
mod reading_together;
mod renamed;
mod rewriting_unlinked;
mod root_directory;
mod separate_opens;
mod standard_closed;
mod status_flags;
mod symlink_handle;
mod symlinks;
mod temporary;
mod truncated;
mod umask;
mod unlinked;
mod unlinked_access;
mod unlinked_attributes;
mod unlinked_empty;
mod unlinked_flags;
mod unlinked_large;
mod unlinked_mapped;
mod unlinked_shared;
mod unlinked_sparse;
mod untouched;
mod working_directory;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &access_modes::WORKLOAD,
    &appending::WORKLOAD,
    &close_on_exec::WORKLOAD,
    &deleted_directory::WORKLOAD,
    &devices::WORKLOAD,
    &directory_handles::WORKLOAD,
    &directory_mid_read::WORKLOAD,
    &directory_of_unlinked::WORKLOAD,
    &duplicates::WORKLOAD,
    &growing::WORKLOAD,
    &hard_links::WORKLOAD,
    &high_numbers::WORKLOAD,
    &inherited::WORKLOAD,
    &link_removed::WORKLOAD,
    &many::WORKLOAD,
    &name_reused::WORKLOAD,
    &odd_names::WORKLOAD,
    &offsets::WORKLOAD,
    &own_root::WORKLOAD,
    &proc_in_motion::WORKLOAD,
    &read_only::WORKLOAD,
    &reading_together::WORKLOAD,
    &renamed::WORKLOAD,
    &rewriting_unlinked::WORKLOAD,
    &root_directory::WORKLOAD,
    &separate_opens::WORKLOAD,
    &standard_closed::WORKLOAD,
    &status_flags::WORKLOAD,
    &symlink_handle::WORKLOAD,
    &symlinks::WORKLOAD,
    &temporary::WORKLOAD,
    &truncated::WORKLOAD,
    &umask::WORKLOAD,
    &unlinked::WORKLOAD,
    &unlinked_access::WORKLOAD,
    &unlinked_attributes::WORKLOAD,
    &unlinked_empty::WORKLOAD,
    &unlinked_flags::WORKLOAD,
    &unlinked_large::WORKLOAD,
    &unlinked_mapped::WORKLOAD,
    &unlinked_shared::WORKLOAD,
    &unlinked_sparse::WORKLOAD,
    &untouched::WORKLOAD,
    &working_directory::WORKLOAD,
];
