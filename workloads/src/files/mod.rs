//! Open files: offsets, flags, sharing, names and unlinked contents; directories, current
//! directory, root, umask.

mod helpers;

crate::framework::corpus! {
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
    mod link_removed;
    mod many;
    mod memfd_contents;
    mod memfd_executed;
    mod memfd_mapped;
    mod memfd_seals;
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
}
