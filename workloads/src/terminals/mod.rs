//! pty(7): pseudo-terminals, both sides of which are in the job, or of which one is gone.

pub mod helpers;

crate::framework::corpus! {
    mod asynchronous;
    mod background_reader;
    mod blocked_readers;
    mod blocked_writer;
    mod hung_up;
    mod in_motion;
    mod many_numbers;
    mod other_side_closed;
    mod packets;
    mod raw_both_ways;
    mod session;
    mod session_without_descriptor;
    mod stopped_output;
    mod two_processes;
    mod typed_lines;
}
