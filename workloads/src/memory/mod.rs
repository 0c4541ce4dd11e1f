//! The address space: kinds of mappings, their contents, protections and flags.

pub mod helpers;

crate::framework::corpus! {
    mod private_anonymous;
    mod shared_anonymous;
    mod shared_between_processes;
    mod private_of_shared;
    mod copied_on_write_by_fork;
    mod private_file;
    mod shared_file;
    mod shared_file_read_only;
    mod file_executable;
    mod beyond_end_of_file;
    mod unlinked_file;
    mod odd_file_names;
    mod far_file_offset;
    mod dev_zero;
    mod main_stack_grows;
    mod grows_down;
    mod terabytes_reserved;
    mod holes;
    mod sparse;
    mod protections;
    mod advised;
    mod kept_from_children;
    mod locked;
    mod locked_in_future;
    mod locked_limits;
    mod policies;
    mod huge_transparent;
    mod guard_pages;
    mod hugetlb_private;
    mod hugetlb_shared;
    mod hugetlb_file;
    mod moved;
    mod extreme_addresses;
    mod many_mappings;
    mod large;
    mod named_anonymous;
    mod droppable;
    mod written_in_motion;
    mod shared_in_motion;
    mod tracked_by_two_names;
}
