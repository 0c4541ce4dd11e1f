//! sysvipc(7): objects with ids.

pub mod helpers;

crate::framework::corpus! {
    mod mqueue_blocked;
    mod mqueue_messages;
    mod mqueue_shared;
    mod mqueue_unlinked;
    mod queue_blocked;
    mod queue_messages;
    mod segment_attached;
    mod segment_huge;
    mod segment_locked;
    mod segment_of_user;
    mod segment_parts;
    mod segment_removed;
    mod segment_shared;
    mod segment_unattached;
    mod segments_many;
    mod semaphores_blocked;
    mod semaphores_values;
}
