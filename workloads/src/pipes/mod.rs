//! Pipes and FIFOs: bytes in flight, sizes, modes, ends in several processes, and data in motion.

pub mod helpers;

crate::framework::corpus! {
    mod asynchronous;
    mod between_processes;
    mod blocked_reader;
    mod blocked_writer;
    mod bytes_in_flight;
    mod duplicated_ends;
    mod empty;
    mod fifo_asynchronous;
    mod fifo_between_processes;
    mod fifo_both_ways;
    mod fifo_bytes;
    mod fifo_never_written;
    mod fifo_unlinked;
    mod fifo_writer_gone;
    mod flags_per_end;
    mod full;
    mod many;
    mod many_writers;
    mod packets;
    mod packets_full;
    mod partly_read;
    mod ping_pong;
    mod pipeline;
    mod reader_gone;
    mod reopened;
    mod resized;
    mod spliced_pages;
    mod writer_gone;
}
