//! The address space: kinds of mappings, their contents, protections and flags.

mod advised;
mod beyond_end_of_file;
mod copied_on_write_by_fork;
mod dev_zero;
mod droppable;
mod extreme_addresses;
mod far_file_offset;
mod file_executable;
mod grows_down;
mod guard_pages;
mod holes;
mod huge_transparent;
mod hugetlb_file;
mod hugetlb_private;
mod hugetlb_shared;
mod kept_from_children;
mod kit;
mod large;
mod locked;
mod locked_in_future;
mod locked_limits;
mod main_stack_grows;
mod many_mappings;
mod moved;
mod named_anonymous;
mod odd_file_names;
mod policies;
mod private_anonymous;
mod private_file;
mod private_of_shared;
mod protections;
mod shared_anonymous;
mod shared_between_processes;
mod shared_file;
mod shared_file_read_only;
mod shared_in_motion;
mod sparse;
mod terabytes_reserved;
mod tracked_by_two_names;
mod unlinked_file;
mod written_in_motion;

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &private_anonymous::WORKLOAD,
    &shared_anonymous::WORKLOAD,
    &shared_between_processes::WORKLOAD,
    &private_of_shared::WORKLOAD,
    &copied_on_write_by_fork::WORKLOAD,
    &private_file::WORKLOAD,
    &shared_file::WORKLOAD,
    &shared_file_read_only::WORKLOAD,
    &file_executable::WORKLOAD,
    &beyond_end_of_file::WORKLOAD,
    &unlinked_file::WORKLOAD,
    &odd_file_names::WORKLOAD,
    &far_file_offset::WORKLOAD,
    &dev_zero::WORKLOAD,
    &main_stack_grows::WORKLOAD,
    &grows_down::WORKLOAD,
    &terabytes_reserved::WORKLOAD,
    &holes::WORKLOAD,
    &sparse::WORKLOAD,
    &protections::WORKLOAD,
    &advised::WORKLOAD,
    &kept_from_children::WORKLOAD,
    &locked::WORKLOAD,
    &locked_in_future::WORKLOAD,
    &locked_limits::WORKLOAD,
    &policies::WORKLOAD,
    &huge_transparent::WORKLOAD,
    &guard_pages::WORKLOAD,
    &hugetlb_private::WORKLOAD,
    &hugetlb_shared::WORKLOAD,
    &hugetlb_file::WORKLOAD,
    &moved::WORKLOAD,
    &extreme_addresses::WORKLOAD,
    &many_mappings::WORKLOAD,
    &large::WORKLOAD,
    &named_anonymous::WORKLOAD,
    &droppable::WORKLOAD,
    &written_in_motion::WORKLOAD,
    &shared_in_motion::WORKLOAD,
    &tracked_by_two_names::WORKLOAD,
];
