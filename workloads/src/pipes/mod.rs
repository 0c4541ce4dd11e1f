//! Pipes and FIFOs: bytes in flight, sizes, modes, ends in several processes, and data in motion.

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
mod kit;
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

use crate::framework::Workload;

/// Every workload of this group.
pub const WORKLOADS: &[&Workload] = &[
    &asynchronous::WORKLOAD,
    &between_processes::WORKLOAD,
    &blocked_reader::WORKLOAD,
    &blocked_writer::WORKLOAD,
    &bytes_in_flight::WORKLOAD,
    &duplicated_ends::WORKLOAD,
    &empty::WORKLOAD,
    &fifo_asynchronous::WORKLOAD,
    &fifo_between_processes::WORKLOAD,
    &fifo_both_ways::WORKLOAD,
    &fifo_bytes::WORKLOAD,
    &fifo_never_written::WORKLOAD,
    &fifo_unlinked::WORKLOAD,
    &fifo_writer_gone::WORKLOAD,
    &flags_per_end::WORKLOAD,
    &full::WORKLOAD,
    &many::WORKLOAD,
    &many_writers::WORKLOAD,
    &packets::WORKLOAD,
    &packets_full::WORKLOAD,
    &partly_read::WORKLOAD,
    &ping_pong::WORKLOAD,
    &pipeline::WORKLOAD,
    &reader_gone::WORKLOAD,
    &reopened::WORKLOAD,
    &resized::WORKLOAD,
    &spliced_pages::WORKLOAD,
    &writer_gone::WORKLOAD,
];
