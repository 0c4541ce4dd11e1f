//! Whole files: round trips, crashes, and damage of every kind.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rstest::rstest;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::layout::{FOOTER_LEN, HEADER_LEN, MAX_FRAME, page_size_here};
use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Job {
    pid: u32,
    comm: String,
    extents: Vec<(u64, u64, u64)>,
}

impl Schemas for Job {
    const SCHEMAS: &'static [(&'static str, u32)] = &[("job", 2)];
}

/// The same origin everywhere, so that the bytes of a file depend on its contents alone.
pub(super) fn fixed_origin(page_size: u32) -> Origin {
    Origin {
        machine: Machine { e_machine: 62, class: 2, data: 1 },
        page_size,
        created_ns: 1_700_000_000_000_000_000,
        cairn_version: "0.1.0".into(),
        kernel_release: "6.12.0-example".into(),
    }
}

fn job(pid: u32) -> Job {
    Job { pid, comm: "sleep".into(), extents: vec![] }
}

/// Page contents that differ from page to page.
fn page(number: usize, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 + number * 17 + at / 256) as u8).collect()
}

/// A file of `frames` frames, each of so many 4 KiB pages.
fn write_file(path: &Path, frames: &[usize]) -> Job {
    let writer = Writer::create(path, fixed_origin(4096)).unwrap();
    let mut job = job(4711);
    let mut number = 0;
    for &pages in frames {
        let bytes: Vec<u8> = (number..number + pages).flat_map(|n| page(n, 4096)).collect();
        let offset = writer.pages().append(&bytes).unwrap();
        job.extents.push((number as u64 * 4096, bytes.len() as u64, offset));
        number += pages;
    }
    writer.finish(&job, Sync::None).unwrap();
    job
}

fn scratch() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("context.4711");
    (dir, path)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Everything that a reader can learn from a file.
#[derive(Debug, PartialEq)]
struct Contents {
    header: Header,
    job: Job,
    pages: Vec<u8>,
}

fn read_all(path: &Path) -> Result<Contents, Error> {
    let reader = Reader::open(path)?;
    let job = reader.records()?;
    reader.verify_pages(2, &|_| ())?;
    let range = reader.page_range();
    let mut pages = vec![0; (range.end - range.start) as usize];
    reader.read_pages(range.start, &mut pages)?;
    Ok(Contents { header: reader.header().clone(), job, pages })
}

#[rstest]
#[case::durable(Sync::Full)]
#[case::quick(Sync::None)]
fn round_trip(#[case] sync: Sync) {
    let (dir, path) = scratch();
    let writer = Writer::create(&path, Origin::here()).unwrap();
    let size = page_size_here() as usize;
    let (first, second) = (page(1, size), page(2, size));
    let at = [writer.pages().append(&first).unwrap(), writer.pages().append(&second).unwrap()];
    assert!(names(dir.path()).iter().all(|name| name != "context.4711"), "named before it was whole");
    let written = writer.finish(&job(7), sync).unwrap();

    assert_eq!(names(dir.path()), ["context.4711"]);
    let meta = fs::metadata(&path).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!((written.bytes, written.page_bytes, written.frames), (meta.len(), 2 * size as u64, 2));
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.records::<Job>().unwrap(), job(7));
    assert_eq!(reader.schemas().unwrap().into_iter().collect::<Vec<_>>(), [("job".to_owned(), 2)]);
    reader.check_here().unwrap();
    let mut buf = vec![0; size];
    for (offset, expected) in at.into_iter().zip([&first, &second]) {
        reader.read_pages(offset, &mut buf).unwrap();
        assert_eq!(&buf, expected);
    }
    let mut half = vec![0; size];
    reader.read_pages(at[0] + size as u64 / 2, &mut half).unwrap();
    assert_eq!(half[..size / 2], first[size / 2..]);
}

#[test]
fn a_file_may_be_without_pages() {
    let (_dir, path) = scratch();
    write_file(&path, &[]);
    let reader = Reader::open(&path).unwrap();
    assert!(reader.frames().unwrap().is_empty());
    reader.verify_pages(4, &|done| assert_eq!(done, 0)).unwrap();
}

#[test]
fn large_pages_are_aligned() {
    let (_dir, path) = scratch();
    let writer = Writer::create(&path, fixed_origin(65536)).unwrap();
    assert_eq!(writer.pages().append(&page(0, 65536)).unwrap(), 65536);
    writer.finish(&(), Sync::None).unwrap();
    let reader = Reader::open(&path).unwrap();
    reader.verify_pages(1, &|_| ()).unwrap();
    assert_eq!(reader.page_range(), 65536..131072);
}

#[test]
fn many_threads_append_at_once() {
    let (_dir, path) = scratch();
    let writer = Writer::create(&path, fixed_origin(4096)).unwrap();
    let sink = writer.pages();
    let placed: Vec<(u64, usize, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4usize)
            .map(|thread| {
                scope.spawn(move || {
                    let frame = |n: usize| {
                        let pages = 1 + (n * 7 + thread) % 5;
                        (n, pages, page(n * 4 + thread, pages * 4096))
                    };
                    let append = |(n, pages, bytes): (usize, usize, Vec<u8>)| {
                        (sink.append(&bytes).unwrap(), n * 4 + thread, pages)
                    };
                    (0..100).map(frame).map(append).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let total: u64 = placed.iter().map(|&(_, _, pages)| pages as u64 * 4096).sum();
    assert_eq!(writer.page_bytes(), total);
    writer.finish(&job(1), Sync::None).unwrap();

    let reader = Reader::open(&path).unwrap();
    let last = std::cell::Cell::new(0);
    reader.verify_pages(3, &|done| last.set(done)).unwrap();
    assert_eq!(last.get(), total);
    for (offset, number, pages) in placed {
        let mut buf = vec![0; pages * 4096];
        reader.read_pages(offset, &mut buf).unwrap();
        assert_eq!(buf, page(number, pages * 4096));
    }
}

#[rstest]
#[case::part_of_a_page(4095)]
#[case::more_than_a_frame(MAX_FRAME + 4096)]
fn odd_lengths_are_refused_and_leave_the_file_usable(#[case] len: usize) {
    let (_dir, path) = scratch();
    let writer = Writer::create(&path, fixed_origin(4096)).unwrap();
    let refused = writer.pages().append(&vec![0; len]);
    assert!(matches!(refused, Err(Error::BadRequest { .. })), "{refused:?}");
    writer.finish(&job(1), Sync::None).unwrap();
    assert_eq!(read_all(&path).unwrap().job, job(1));
}

#[test]
fn a_dropped_writer_leaves_nothing_and_the_old_file() {
    let (dir, path) = scratch();
    fs::write(&path, "old").unwrap();
    let writer = Writer::create(&path, fixed_origin(4096)).unwrap();
    writer.pages().append(&page(0, 4096)).unwrap();
    drop(writer);
    assert_eq!(names(dir.path()), ["context.4711"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn finishing_replaces_what_had_the_name() {
    let (dir, path) = scratch();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "not mine").unwrap();
    fs::write(&path, "old").unwrap();
    write_file(&path, &[1]);
    assert_eq!(read_all(&path).unwrap().job.pid, 4711);

    // A link is replaced, not followed.
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    write_file(&path, &[1]);
    assert_eq!(read_all(&path).unwrap().job.pid, 4711);
    assert_eq!(fs::read(&elsewhere).unwrap(), b"not mine");
    assert_eq!(names(dir.path()), ["context.4711", "elsewhere"]);
}

#[rstest]
#[case::directory("/tmp")]
#[case::device("/dev/null")]
#[case::missing_directory("/nonexistent/context.1")]
#[case::no_name("/")]
fn impossible_places_are_refused_at_once(#[case] path: &str) {
    let Err(err) = Writer::create(Path::new(path), fixed_origin(4096)) else {
        panic!("a writer for {path}");
    };
    assert!(matches!(err, Error::Io { .. }), "{err:?}");
    assert!(err.errno().is_some() && err.to_string().contains("/"), "{err}");
}

#[test]
fn running_out_of_space_is_named_and_nothing_stays() {
    // A file that may not grow stands in for a full file system: both fail in pwrite(2).
    let full = Error::write("write", Path::new("context.1"), 8192, rustix::io::Errno::NOSPC);
    assert_eq!(full.to_string(), "write context.1: out of space, 8192 bytes had been written");
    assert_eq!(full.errno(), Some(libc::ENOSPC));
    let quota = Error::write("write", Path::new("context.1"), 0, rustix::io::Errno::DQUOT);
    assert!(matches!(quota, Error::NoSpace { .. }));
}

#[rstest]
#[case::empty(b"".as_slice(), "it is empty")]
#[case::text(b"hello", "something else")]
#[case::elf(b"\x7fELF\x02\x01\x01", "something else")]
fn other_files_are_told_apart(#[case] bytes: &[u8], #[case] what: &str) {
    let (_dir, path) = scratch();
    fs::write(&path, bytes).unwrap();
    let err = read_all(&path).unwrap_err();
    assert!(matches!(err, Error::NotContextFile { .. }), "{err:?}");
    assert!(err.to_string().contains(what), "{err}");
}

#[test]
fn directories_and_fifos_are_told_apart() {
    let (dir, path) = scratch();
    assert!(matches!(Reader::open(dir.path()), Err(Error::NotContextFile { .. })));
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    assert!(matches!(Reader::open(&path), Err(Error::NotContextFile { .. })));
    let missing = Reader::open(&dir.path().join("missing")).err().unwrap();
    assert_eq!(missing.errno(), Some(libc::ENOENT));
}

/// Replaces bytes of a header and makes its checksum right again, as another program would have written it.
fn patch_header(path: &Path, at: usize, bytes: &[u8]) {
    let mut raw = [0; HEADER_LEN];
    let file = File::options().read(true).write(true).open(path).unwrap();
    file.read_exact_at(&mut raw, 0).unwrap();
    raw[at..at + bytes.len()].copy_from_slice(bytes);
    let sum = xxhash_rust::xxh3::xxh3_64(&raw[..HEADER_LEN - 8]);
    raw[HEADER_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&raw, 0).unwrap();
}

#[test]
fn the_future_is_refused_by_name() {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    patch_header(&path, 8, &2u32.to_le_bytes());
    let err = Reader::open(&path).err().unwrap();
    assert!(matches!(err, Error::FutureVersion { found: 2 }), "{err:?}");
    assert_eq!(err.to_string(), "context file has format version 2, this cairn reads up to 1");

    write_file(&path, &[1]);
    patch_header(&path, 32, &4u64.to_le_bytes());
    let err = Reader::open(&path).err().unwrap();
    assert!(matches!(err, Error::FutureFeatures { bits: 4 }), "{err:?}");

    // A version that is wrong because of damage is damage.
    write_file(&path, &[1]);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[9], 8).unwrap();
    assert!(matches!(Reader::open(&path), Err(Error::Damaged { section: Section::Header, .. })));
}

#[test]
fn optional_features_are_ignored_and_the_header_needs_no_body() {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    let whole = Reader::open(&path).unwrap().header().clone();
    patch_header(&path, 40, &u64::MAX.to_le_bytes());
    File::options().write(true).open(&path).unwrap().set_len(HEADER_LEN as u64).unwrap();
    let header = Reader::open_header(&path).unwrap();
    assert_eq!(header, Header { optional_features: u64::MAX, ..whole });
    assert!(matches!(Reader::open(&path), Err(Error::Truncated { .. })));
}

#[rstest]
#[case::arch(Machine { e_machine: 183, class: 2, data: 1 }, 4096,
    "context file was taken on x86_64, this machine is aarch64")]
#[case::byte_order(Machine { e_machine: 62, class: 2, data: 2 }, 4096,
    "context file was taken on x86_64, this machine is ELF machine 62 (class 2, data 2)")]
#[case::page_size(Machine { e_machine: 62, class: 2, data: 1 }, 65536,
    "context file was taken with pages of 4096 bytes, this kernel has pages of 65536 bytes")]
fn foreign_files_open_but_do_not_fit(#[case] here: Machine, #[case] page_size: u32, #[case] text: &str) {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    read_all(&path).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.check_machine(here, page_size).unwrap_err().to_string(), text);
}

#[test]
fn long_names_are_cut_at_a_character() {
    let (_dir, path) = scratch();
    let origin = Origin { kernel_release: "ä".repeat(100), ..fixed_origin(4096) };
    Writer::create(&path, origin).unwrap().finish(&(), Sync::None).unwrap();
    assert_eq!(Reader::open(&path).unwrap().header().kernel_release, "ä".repeat(64));
}

mod schemas {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Newer {
        pid: u32,
        comm: String,
        extents: Vec<(u64, u64, u64)>,
        colour: Option<Vec<u8>>,
    }
    impl Schemas for Newer {
        const SCHEMAS: &'static [(&'static str, u32)] = &[("job", 2)];
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        pid: u32,
    }
    impl Schemas for Other {
        const SCHEMAS: &'static [(&'static str, u32)] = &[("job", 3), ("socket", 1)];
    }

    #[test]
    fn unknown_fields_are_passed_over_and_absent_ones_may_be() {
        let (_dir, path) = scratch();
        let newer = Newer { pid: 5, comm: "x".into(), extents: vec![], colour: Some(vec![1; 5000]) };
        Writer::create(&path, fixed_origin(4096)).unwrap().finish(&newer, Sync::None).unwrap();
        let job: Job = Reader::open(&path).unwrap().records().unwrap();
        assert_eq!((job.pid, job.comm.as_str()), (5, "x"));

        write_file(&path, &[]);
        let newer: Newer = Reader::open(&path).unwrap().records().unwrap();
        assert!(newer.colour.is_none());
        let older: Other = Reader::open(&path).unwrap().records().unwrap();
        assert_eq!(older.pid, 4711);
    }

    #[test]
    fn newer_and_unknown_kinds_are_refused() {
        let (_dir, path) = scratch();
        Writer::create(&path, fixed_origin(4096)).unwrap().finish(&Other { pid: 1 }, Sync::None).unwrap();
        let reader = Reader::open(&path).unwrap();
        let err = reader.records::<Job>().unwrap_err();
        assert_eq!(
            err.to_string(),
            "context file has records of kind 'job' in version 3, this cairn reads up to 2"
        );
        let err = reader.records::<()>().unwrap_err();
        assert!(matches!(err, Error::FutureSchema { found: 3, supported: 0, .. }), "{err:?}");
    }

    #[test]
    fn a_wrong_shape_is_damage_with_a_reason() {
        #[derive(Debug, Deserialize)]
        struct Stranger {
            #[expect(dead_code)]
            name: String,
        }
        impl Schemas for Stranger {
            const SCHEMAS: &'static [(&'static str, u32)] = Job::SCHEMAS;
        }
        let (_dir, path) = scratch();
        write_file(&path, &[]);
        let err = Reader::open(&path).unwrap().records::<Stranger>().unwrap_err();
        assert!(matches!(err, Error::Damaged { section: Section::Records, .. }), "{err:?}");
        assert!(err.to_string().contains("name"), "{err}");
    }
}

#[test]
fn a_bad_page_is_named_by_its_frame() {
    let (_dir, path) = scratch();
    let job = write_file(&path, &[3, 1, 256, 2, 1, 200, 7]);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    // Two bad frames: the first counts, with any number of threads.
    for &(_, len, offset) in &[job.extents[5], job.extents[2]] {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset + len - 1).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], offset + len - 1).unwrap();
    }
    let reader = Reader::open(&path).unwrap();
    for threads in [0, 1, 2, 8] {
        let err = reader.verify_pages(threads, &|_| ()).unwrap_err();
        let Error::Damaged { section: Section::Pages, offset, .. } = err else { panic!("{err:?}") };
        assert_eq!(offset, job.extents[2].2, "with {threads} threads");
    }
}

#[test]
fn pages_outside_the_page_data_are_not_read() {
    let (_dir, path) = scratch();
    write_file(&path, &[2]);
    let reader = Reader::open(&path).unwrap();
    let mut buf = [0; 4096];
    for offset in [0, 4095, 4096 + 4097, u64::MAX] {
        let refused = reader.read_pages(offset, &mut buf);
        assert!(matches!(refused, Err(Error::BadRequest { .. })), "at {offset}: {refused:?}");
    }
    reader.read_pages(8192, &mut buf).unwrap();
}

#[test]
fn a_huge_sparse_file_costs_no_memory() {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    let mut bytes = Vec::new();
    File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
    let len = 1u64 << 40;
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(len).unwrap();
    // An index that gives all of a terabyte of nothing to the checksum table, with right checksums of its own.
    let at = len - FOOTER_LEN as u64 - 96;
    let entries = [
        super::layout::Entry { kind: 1, offset: 4096, len: 4096, sum: 0 },
        super::layout::Entry { kind: 2, offset: 8192, len: 8, sum: 0 },
        super::layout::Entry { kind: 3, offset: 8200, len: (at - 8200) / 24 * 24, sum: 0 },
    ];
    let index: Vec<u8> = entries.iter().flat_map(super::layout::Entry::encode).collect();
    let footer = super::layout::Footer {
        index_offset: at,
        index_len: 96,
        index_sum: xxhash_rust::xxh3::xxh3_64(&index),
        total_len: len,
        header_sum: u64::from_le_bytes(bytes[HEADER_LEN - 8..HEADER_LEN].try_into().unwrap()),
    };
    file.write_all_at(&index, at).unwrap();
    file.write_all_at(&footer.encode(), at + 96).unwrap();
    let reader = Reader::open(&path).unwrap();
    let err = reader.frames().unwrap_err();
    assert!(matches!(err, Error::Damaged { section: Section::Checksums, .. }), "{err:?}");
}

#[test]
fn the_digest_sees_contents_and_not_layout() {
    let (dir, _) = scratch();
    let pages: Vec<Vec<u8>> = (0..6).map(|n| page(n, 4096)).collect();
    let zero = vec![0u8; 4096];
    // Writes (address, page) pairs one frame each, gives back the reader and one extent per page.
    let write = |name: &str, saved: &[(u64, &Vec<u8>)]| {
        let path = dir.path().join(name);
        let writer = Writer::create(&path, fixed_origin(4096)).unwrap();
        let extents: Vec<Extent> = saved
            .iter()
            .map(|&(start, page)| Extent { start, len: 4096, offset: writer.pages().append(page).unwrap() })
            .collect();
        writer.finish(&(), Sync::None).unwrap();
        (Reader::open(&path).unwrap(), extents)
    };
    let at = |n: u64| 0x7000_0000 + n * 4096;
    let (plain, extents) =
        write("plain", &[(at(0), &pages[0]), (at(1), &pages[1]), (at(2), &pages[2]), (at(9), &pages[3])]);
    let expected = plain.digest(&extents, Absent::Zeros).unwrap();

    let joined = [Extent { start: at(0), len: 3 * 4096, offset: extents[0].offset }, extents[3]];
    assert_eq!(plain.digest(&joined, Absent::Zeros).unwrap(), expected);
    let (shuffled, other) =
        write("shuffled", &[(at(9), &pages[3]), (at(2), &pages[2]), (at(0), &pages[0]), (at(1), &pages[1])]);
    assert_eq!(shuffled.digest(&other, Absent::Zeros).unwrap(), expected);
    let (padded, with_zero) = write(
        "padded",
        &[(at(0), &pages[0]), (at(1), &pages[1]), (at(2), &pages[2]), (at(5), &zero), (at(9), &pages[3])],
    );
    assert_eq!(padded.digest(&with_zero, Absent::Zeros).unwrap(), expected);
    assert_ne!(
        padded.digest(&with_zero, Absent::File).unwrap(),
        plain.digest(&extents, Absent::File).unwrap()
    );

    let (moved, there) =
        write("moved", &[(at(0), &pages[0]), (at(1), &pages[1]), (at(3), &pages[2]), (at(9), &pages[3])]);
    assert_ne!(moved.digest(&there, Absent::Zeros).unwrap(), expected);
    let mut exchanged = extents.clone();
    exchanged.swap(0, 1);
    (exchanged[0].start, exchanged[1].start) = (exchanged[1].start, exchanged[0].start);
    assert_ne!(plain.digest(&exchanged, Absent::Zeros).unwrap(), expected);

    for bad in [
        vec![extents[0], extents[0]],
        vec![Extent { start: at(0) + 1, ..extents[0] }],
        vec![Extent { len: !4095, ..extents[0] }],
        vec![Extent { offset: u64::MAX - 100, ..extents[0] }],
        vec![Extent { offset: 0, ..extents[0] }],
    ] {
        let refused = plain.digest(&bad, Absent::Zeros);
        assert!(matches!(refused, Err(Error::BadRequest { .. })), "{bad:?}: {refused:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes, a reader gives an error or the very contents that were written.
    #[test]
    fn damage_never_passes_for_contents(
        frames in prop::collection::vec(1usize..4, 0..4),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        near_the_end in any::<bool>(),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        more in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let (_dir, path) = scratch();
        write_file(&path, &frames);
        let before = read_all(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        // Most bytes are page data; half of the cases aim at the small tables behind them.
        let from = if near_the_end { bytes.len().saturating_sub(400) } else { 0 };
        for (at, value) in hits {
            let reach = bytes.len() - from;
            bytes[from + at.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes.extend(more);
        fs::write(&path, &bytes).unwrap();
        if let Ok(after) = read_all(&path) {
            prop_assert_eq!(after, before);
        }
    }

    /// Files that were never ours, some with our magic and marks.
    #[test]
    fn arbitrary_bytes_are_refused(
        mut bytes in prop::collection::vec(any::<u8>(), 0..9000),
        magic in any::<bool>(),
        end in any::<bool>(),
    ) {
        let (_dir, path) = scratch();
        if magic && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(&super::layout::MAGIC);
        }
        if end && bytes.len() >= 16 {
            let at = bytes.len() - 8;
            bytes[at..].copy_from_slice(&super::layout::END_MAGIC);
        }
        File::create(&path).unwrap().write_all(&bytes).unwrap();
        prop_assert!(read_all(&path).is_err());
    }

    /// Records bytes that carry a right checksum but make no sense: a program's error, or an attack.
    #[test]
    fn senseless_records_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut from = bytes.as_slice();
        if let Ok(job) = super::records::decode::<Job>(&mut from) {
            prop_assert!(job.comm.len() + job.extents.len() <= bytes.len());
        }
    }

    #[test]
    fn any_contents_come_back(
        pid in any::<u32>(),
        comm in ".{0,40}",
        extents in prop::collection::vec(any::<(u64, u64, u64)>(), 0..50),
        frames in prop::collection::vec(1usize..20, 0..6),
    ) {
        let (_dir, path) = scratch();
        let job = Job { pid, comm, extents };
        let writer = Writer::create(&path, fixed_origin(4096)).unwrap();
        let mut all = Vec::new();
        for (number, pages) in frames.into_iter().enumerate() {
            let bytes = page(number, pages * 4096);
            let offset = writer.pages().append(&bytes).unwrap();
            prop_assert_eq!(offset, (HEADER_LEN + all.len()) as u64);
            all.extend(bytes);
        }
        writer.finish(&job, Sync::None).unwrap();
        let contents = read_all(&path).unwrap();
        prop_assert_eq!(contents.job, job);
        prop_assert_eq!(contents.pages, all);
    }
}
