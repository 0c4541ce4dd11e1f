//! io_uring(7).

pub mod helpers;

crate::framework::corpus! {
    mod blocked;
    mod copy;
    mod idle;
    mod many_requests;
    mod queued;
    mod unread;
}
