//! `cairn info`

use super::args::InfoArgs;
use super::checkpoint::Progress;
use cairn::error::Error;
use cairn::image::{Absent, Extent, Reader};
use cairn::resource::memory::{Backing, Memory};
use cairn::resource::process::{Life, State};
use cairn::resource::{Records, pages};
use indicatif::HumanBytes;
use serde_json::{Value, json};
use std::ops::Range;

pub fn run(args: &InfoArgs) -> anyhow::Result<u8> {
    let failed = |source| Error::of_image(&args.file, source);
    let reader = Reader::open(&args.file).map_err(failed)?;
    let records: Records = reader.records().map_err(failed)?;
    if args.verify {
        let bar = Progress::new("verified");
        let range = reader.page_range();
        reader.verify_pages(2, &|done| bar.at(done, range.end - range.start)).map_err(failed)?;
    }
    if args.json {
        let mut all = serde_json::to_value(&records)?;
        digest_pages(&reader, &records, &mut all).map_err(failed)?;
        let pages = json!({ "bytes": reader.page_range().end - reader.page_range().start });
        println!("{}", json!({ "header": reader.header(), "records": all, "pages": pages }));
        return Ok(0);
    }
    summary(&reader, &records);
    Ok(0)
}

/// Puts a digest of the contents where the extents are: what two files with the same contents agree on.
fn digest_pages(reader: &Reader, records: &Records, all: &mut Value) -> Result<(), cairn::image::Error> {
    let digest = |extents: &[pages::Extent], absent: Absent, volatile: &[Range<u64>]| {
        let extents: Vec<Extent> = extents.iter().map(image_extent).collect();
        let bytes: u64 = extents.iter().map(|e| e.len).sum();
        Ok(json!({ "digest": reader.digest_without(&extents, absent, volatile)?, "bytes": bytes }))
    };
    for (i, process) in records.processes.iter().enumerate() {
        let Life::Alive(alive) = &process.life else { continue };
        let memory = &mut all["processes"][i]["life"]["alive"]["memory"];
        let volatile: Vec<Range<u64>> = alive
            .threads
            .iter()
            .filter_map(|t| t.rseq.as_ref())
            .flat_map(|r| written_by_kernel(r.address))
            .collect();
        for (j, vma) in alive.memory.vmas.iter().enumerate() {
            let absent =
                if matches!(vma.backing, Backing::File { .. }) { Absent::File } else { Absent::Zeros };
            let inside = within(&alive.memory, vma.start, vma.end);
            if !inside.is_empty() {
                memory["vmas"][j]["content"] = digest(&inside, absent, &volatile)?;
            }
        }
        memory.as_object_mut().map(|m| m.remove("pages"));
    }
    for (i, shared) in records.shared.iter().enumerate() {
        all["shared"][i]["content"] = digest(&shared.content, Absent::Zeros, &[])?;
    }
    for (i, inode) in records.inodes.iter().enumerate() {
        if let Some(unlinked) = &inode.unlinked {
            all["inodes"][i]["unlinked"]["content"] = digest(&unlinked.content, Absent::File, &[])?;
        }
    }
    Ok(())
}

/// The fields of a thread's rseq area that the kernel writes whenever the thread returns to user space, as long as it may
/// run on any CPU: cpu_id_start and cpu_id, node_id and mm_cid (include/uapi/linux/rseq.h, Linux 6.12).
fn written_by_kernel(rseq: u64) -> [Range<u64>; 2] {
    [rseq..rseq + 8, rseq + 20..rseq + 28]
}

fn image_extent(extent: &pages::Extent) -> Extent {
    Extent { start: extent.start, len: extent.len, offset: extent.offset }
}

/// The extents inside a mapping, cut at its borders.
fn within(memory: &Memory, start: u64, end: u64) -> Vec<pages::Extent> {
    let first = memory.pages.partition_point(|e| e.start + e.len <= start);
    let inside = memory.pages[first..].iter().take_while(|e| e.start < end);
    inside
        .map(|e| {
            let from = e.start.max(start);
            let to = (e.start + e.len).min(end);
            pages::Extent { start: from, len: to - from, offset: e.offset + (from - e.start) }
        })
        .collect()
}

fn summary(reader: &Reader, records: &Records) {
    let header = reader.header();
    println!(
        "context file, format {}, {}, written by cairn {}",
        header.version, header.machine, header.cairn_version
    );
    println!(
        "kernel {}, {} in all, {} tasks",
        header.kernel_release,
        HumanBytes(reader.file_len()),
        records.tasks()
    );
    for process in &records.processes {
        match &process.life {
            Life::Zombie(zombie) => {
                println!("{:>8} {} (zombie, status {:#x})", process.pid, zombie.comm, zombie.status)
            }
            Life::Alive(alive) => {
                let bytes: u64 = alive.memory.pages.iter().map(|e| e.len).sum();
                let state = match alive.state {
                    State::Running => String::new(),
                    State::Stopped { signal, .. } => format!(", stopped by signal {signal}"),
                };
                println!(
                    "{:>8} {}: {} threads, {} mappings, {} of memory, {} descriptors{state}",
                    process.pid,
                    alive.threads[0].comm,
                    alive.threads.len(),
                    alive.memory.vmas.len(),
                    HumanBytes(bytes),
                    alive.fds.len(),
                );
            }
        }
    }
}
