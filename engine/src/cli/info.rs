//! `cairn info`

use super::args::InfoArgs;
use super::checkpoint::Progress;
use super::location::input;
use super::{count, out};
use cairn::error::Error;
use cairn::image::{self, Absent, Extent, Reader};
use cairn::resource::Records;
use cairn::resource::bytes::PathBytes;
use cairn::resource::fd::{Identity, Kind};
use cairn::resource::ipc::segment::Segment;
use cairn::resource::mm::Memory;
use cairn::resource::mm::marks::Marks;
use cairn::resource::mm::vma::Backing;
use cairn::resource::process::{Alive, Life, State};
use indicatif::HumanBytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::ops::Range;

pub fn run(args: &InfoArgs) -> anyhow::Result<u8> {
    let input = input(&args.file)?;
    let failed = |source| Error::of_image(input.path(), source);
    let reader = Reader::open(input.clone()).map_err(failed)?;
    let records: Records = reader.records().map_err(failed)?;
    if args.verify {
        let bar = Progress::new("verified");
        let range = reader.page_range();
        reader.verify_pages(2, &|done| bar.at(done, range.end - range.start)).map_err(failed)?;
    }
    let verified = args.verify.then(|| reader.page_range().end - reader.page_range().start);
    if args.json {
        let mut all = serde_json::to_value(&records)?;
        digest_pages(&reader, &records, &mut all).map_err(failed)?;
        let pages = json!({ "bytes": reader.page_range().end - reader.page_range().start });
        let told =
            json!({ "header": reader.header(), "records": all, "pages": pages, "verified": args.verify });
        out(&format!("{told}\n"))?;
        return Ok(0);
    }
    let mut text = summary(&reader, &records).map_err(failed)?;
    if let Some(bytes) = verified {
        text += &format!("intact: all checksums match, including those of {} of pages\n", HumanBytes(bytes));
    }
    out(&text)?;
    Ok(0)
}

/// Replaces the extents by a digest of their contents, which is equal for files with the same
/// contents.
fn digest_pages(reader: &Reader, records: &Records, all: &mut Value) -> Result<(), cairn::image::Error> {
    let digest = |extents: &[Extent], absent: Absent, volatile: &[Range<u64>]| {
        let bytes: u64 = extents.iter().map(|e| e.len).sum();
        Ok(json!({ "digest": reader.digest_without(extents, absent, volatile)?, "bytes": bytes }))
    };
    for (i, process) in records.processes.iter().enumerate() {
        let Life::Alive(alive) = &process.life else { continue };
        let memory = &mut all["processes"][i]["life"]["alive"]["memory"];
        let with_it = records.alive().filter(|(other, alive)| alive.firsts(other.pid).memory == process.pid);
        let volatile: Vec<Range<u64>> = with_it
            .flat_map(|(_, alive)| &alive.threads)
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

/// The fields of a thread's rseq area that the kernel writes whenever the thread returns to user
/// space, as long as it may run on any CPU: cpu_id_start and cpu_id, node_id and mm_cid
/// (include/uapi/linux/rseq.h, Linux 6.12).
fn written_by_kernel(rseq: u64) -> [Range<u64>; 2] {
    [rseq..rseq + 8, rseq + 20..rseq + 28]
}

/// The extents inside a mapping, cut at its borders.
fn within(memory: &Memory, start: u64, end: u64) -> Vec<Extent> {
    let first = memory.pages.partition_point(|e| e.start + e.len <= start);
    let inside = memory.pages[first..].iter().take_while(|e| e.start < end);
    inside
        .map(|e| {
            let from = e.start.max(start);
            let to = (e.start + e.len).min(end);
            Extent { start: from, len: to - from, offset: e.offset + (from - e.start) }
        })
        .collect()
}

fn summary(reader: &Reader, records: &Records) -> Result<String, image::Error> {
    let header = reader.header();
    let when =
        Timestamp::from_nanosecond(header.created_ns.into()).map_or("?".into(), |at| format!("{at:.0}"));
    let host = if records.host.is_empty() { "an unnamed machine" } else { &records.host };
    let mut text = format!(
        "context file, format {}, {}, written by cairn {}\ncreated {when} on {host}, kernel {}\n{} in total, {}, {}\n",
        header.version,
        header.machine,
        header.cairn_version,
        header.kernel_release,
        HumanBytes(reader.file_len()),
        count(records.processes.len(), "process"),
        count(records.tasks(), "task"),
    );
    for process in &records.processes {
        text += &match &process.life {
            Life::Zombie(zombie) => {
                format!("{:>8} {} (zombie, status {:#x})\n", process.pid, zombie.comm, zombie.status)
            }
            Life::Alive(alive) => describe(reader, records, process.pid, alive)?,
        };
    }
    text += "files that a restart needs:\n";
    for inode in records.inodes.iter().filter(|inode| inode.unlinked.is_none()) {
        let verbs = inode.kind.verbs();
        let what = match (&inode.kind, &inode.identity) {
            (Kind::Device(_), _) => continue,
            (Kind::Terminal(terminal), _) => {
                text += &format!("         {} (terminal)\n", terminal.name);
                continue;
            }
            (Kind::External(external), _) => {
                text +=
                    &format!("         {} (left outside: restart with --external {0}=PATH)\n", external.name);
                continue;
            }
            (Kind::MessageQueue(queue), _) if !queue.unlinked => {
                let messages = count(queue.messages as usize, "message");
                text += &format!("         {} (message queue, {messages})\n", queue.name);
                continue;
            }
            _ if verbs.identity() != Identity::Path => continue,
            (Kind::Regular, Some(identity)) => format!("{} bytes", identity.size),
            _ => verbs.name().into(),
        };
        text += &format!("         {} ({what})\n", inode.path);
    }
    let by_id = records.sysv.iter().map(|by_id| by_id.object().label());
    let objects: Vec<String> = records.segments().map(Segment::label).chain(by_id).collect();
    if !objects.is_empty() {
        text += "objects that a restart sets back or creates:\n";
        objects.iter().for_each(|label| text += &format!("         {label}\n"));
    }
    Ok(text)
}

fn describe(reader: &Reader, records: &Records, pid: i32, alive: &Alive) -> Result<String, image::Error> {
    let memory = match alive.memory_of {
        Some(first) => format!("memory of {first}"),
        None => {
            let bytes: u64 = alive.memory.pages.iter().map(|e| e.len).sum();
            format!("{}, {} of memory", count(alive.memory.vmas.len(), "mapping"), HumanBytes(bytes))
        }
    };
    let state = match alive.state {
        State::Running => String::new(),
        State::Stopped { signal, .. } => format!(", stopped by signal {signal}"),
    };
    let cwd = records.files[alive.cwd].inode;
    let cwd = records.inodes[cwd].label(cwd);
    let cwd = cwd.display();
    let descriptors = match alive.files_of {
        Some(first) => format!("descriptors of {first}"),
        None => count(alive.fds.len(), "descriptor"),
    };
    Ok(format!(
        "{pid:>8} {}\n         in {cwd}: {}, {memory}, {descriptors}{state}\n",
        command_line(reader, records, alive)?,
        count(alive.threads.len(), "thread"),
    ))
}

/// The contents of /proc/PID/cmdline, from the saved memory; the name of a process without any.
fn command_line(reader: &Reader, records: &Records, alive: &Alive) -> Result<String, image::Error> {
    const LONGEST: u64 = 4096;
    let Marks { arg_start, arg_end, .. } = alive.memory.marks;
    let mut line = Vec::new();
    for extent in within(records.memory_of(alive), arg_start, arg_end.min(arg_start.saturating_add(LONGEST)))
    {
        let mut part = vec![0; extent.len as usize];
        reader.read_pages(extent.offset, &mut part)?;
        line.extend(part);
    }
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(quoted).collect();
    Ok(if words.is_empty() { format!("[{}]", alive.comm()) } else { words.join(" ") })
}

/// A word of a command line; in quotes where blanks or control characters are in it.
fn quoted(word: &[u8]) -> String {
    let text = PathBytes(word.to_vec()).to_string();
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) { format!("{text:?}") } else { text }
}
