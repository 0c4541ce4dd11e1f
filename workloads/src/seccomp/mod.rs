//! seccomp(2): strict mode and filters.

mod helpers;

crate::framework::corpus! {
    mod filters;
    mod of_threads;
    mod strict;
    mod without_privileges;
}
