//! io_uring(7).

pub mod helpers;

crate::framework::corpus! {
    mod blocked;
    mod copy;
    mod disabled;
    mod idle;
    mod in_thread;
    mod kept_from_children;
    mod large_completion_queue;
    mod many_requests;
    mod mapped_only;
    mod of_several_processes;
    mod one_thread;
    mod queued;
    mod several;
    mod shared;
    mod unread;
    mod watched;
    mod workers;
}
