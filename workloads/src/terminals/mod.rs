//! pty(7): pseudo-terminals, both sides of which are in the job, or of which one is gone.

pub mod helpers;

crate::framework::corpus! {
    mod asynchronous;
    mod background_reader;
    mod background_writer;
    mod becomes_raw;
    mod blocked_readers;
    mod blocked_writer;
    mod end_of_file;
    mod hangs_up_later;
    mod hung_up;
    mod in_motion;
    mod leader_ends;
    mod many_lines;
    mod many_numbers;
    mod nested;
    mod nonblocking;
    mod other_side_closed;
    mod packets;
    mod pending_interrupt;
    mod polled_both_sides;
    mod raw_both_ways;
    mod session;
    mod session_without_descriptor;
    mod size_changes;
    mod stopped_by_key;
    mod stopped_output;
    mod two_processes;
    mod two_sessions;
    mod typed_lines;
    mod watched;
}
