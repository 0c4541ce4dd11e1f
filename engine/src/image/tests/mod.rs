//! Whole files: what is written is read, and nothing else is left behind.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rstest::rstest;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::layout::{HEADER_LEN, MAX_FRAME, page_size_here};
use super::*;

mod crafted;
mod damage;
mod digest;
mod documentation;
mod schemas;

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
fn fixed_origin(page_size: u32) -> Origin {
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
    let writer = Writer::create(path, fixed_origin(4096), FrameSum::Xxh3).unwrap();
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
    let writer = Writer::create(&path, Origin::here(), FrameSum::Xxh3).unwrap();
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

/// Frames by us and by somebody else, who is given the file and finds its place there.
#[rstest]
fn another_may_append(#[values(FrameSum::Xxh3, FrameSum::Xxh64)] sums: FrameSum) {
    use std::io::Write;
    let (_dir, path) = scratch();
    let writer = Writer::create(&path, fixed_origin(4096), sums).unwrap();
    let sink = writer.pages();
    let theirs = |number: usize| {
        sink.append_by(|file| {
            let mut file = fs::File::from(file.try_clone_to_owned()?);
            let (bytes, offset) = (page(number, 8192), std::io::Seek::stream_position(&mut file)?);
            file.write_all(&bytes)?;
            Ok::<_, std::io::Error>(Appended { offset, len: 8192, sum: sums.of(&bytes) })
        })
    };
    assert_eq!(sink.append(&page(1, 4096)).unwrap(), 4096);
    assert_eq!(theirs(2).unwrap().offset, 8192);
    assert_eq!(sink.append(&page(3, 4096)).unwrap(), 16384);
    // Nothing of it was worth keeping.
    sink.append_by(|_| Ok(Appended::default())).unwrap();
    let written = writer.finish(&job(1), Sync::None).unwrap();
    assert_eq!((written.frames, written.page_bytes), (3, 16384));
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.header().frame_sum(), sums);
    reader.verify_pages(2, &|_| ()).unwrap();

    // Whichever function it is, it notices.
    let mut bytes = fs::read(&path).unwrap();
    bytes[8192 + 5000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let damaged = Reader::open(&path).unwrap().verify_pages(2, &|_| ());
    assert!(matches!(damaged, Err(Error::Damaged { offset: 8192, .. })), "{damaged:?}");
}

#[test]
fn what_another_could_not_append_spoils_the_file() {
    let (_dir, path) = scratch();
    let writer = Writer::create(&path, fixed_origin(4096), FrameSum::Xxh64).unwrap();
    let full = || std::io::Error::from_raw_os_error(libc::ENOSPC);
    let failed = writer.pages().append_by(|_| Err(full())).unwrap_err();
    assert!(matches!(writer.pages().failed(failed), Error::NoSpace { written: 4096, .. }));
    let err = writer.finish(&job(1), Sync::None).unwrap_err();
    assert!(err.to_string().starts_with("finish"), "{err}");
    assert!(!path.exists());
}

/// Frames of our own and of another writer, to a file and to a stream.
#[test]
fn a_stream_gets_the_bytes_of_a_file() {
    let (dir, path) = scratch();
    let piped = dir.path().join("piped");
    let stream = Stream::new(fs::File::create(&piped).unwrap().into(), "the stream");
    for to in [Location::File(path.clone()), Location::Stream(stream.into())] {
        let writer = Writer::create(to, fixed_origin(4096), FrameSum::Xxh64).unwrap();
        writer.pages().append(&page(1, 8192)).unwrap();
        let frame = page(2, 4096);
        let appended = writer.pages().append_by(|fd| {
            let offset = rustix::fs::seek(fd, rustix::fs::SeekFrom::Current(0))?;
            rustix::io::write(fd, &frame)?;
            Ok(Appended { offset, len: 4096, sum: FrameSum::Xxh64.of(&frame) })
        });
        assert_eq!(appended.unwrap().offset, 4096 + 8192);
        writer.finish(&job(1), Sync::Full).unwrap();
    }
    assert_eq!(fs::read(&piped).unwrap(), fs::read(&path).unwrap());
    let again = Stream::new(fs::File::open(&piped).unwrap().into(), "the stream");
    Reader::open(Location::Stream(again.into())).unwrap().verify_pages(2, &|_| ()).unwrap();
}

#[test]
fn an_attempt_that_wrote_nothing_can_be_repeated() {
    let (from, to) = rustix::pipe::pipe().unwrap();
    let stream = std::sync::Arc::new(Stream::new(to, "the stream"));
    let attempt = || Writer::create(Location::Stream(stream.clone()), fixed_origin(4096), FrameSum::Xxh3);
    drop(attempt().unwrap());
    attempt().unwrap().finish(&job(1), Sync::None).unwrap();
    assert!(matches!(attempt(), Err(Error::Taken { .. })));
    drop(stream);
    Reader::open(Location::Stream(Stream::new(from, "the stream").into())).unwrap();
}

/// A write has a deadline, since a job is stopped meanwhile; a read has none.
#[test]
fn a_reader_waits_for_a_slow_writer() {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    let bytes = fs::read(&path).unwrap();
    let (from, to) = rustix::pipe::pipe().unwrap();
    let writer = std::thread::spawn(move || {
        let mut to = fs::File::from(to);
        for half in bytes.chunks(bytes.len().div_ceil(2)) {
            to.write_all(half).unwrap();
            while rustix::io::ioctl_fionread(&to).unwrap() != 0 {
                std::thread::yield_now();
            }
        }
    });
    let stream = Stream::new(from, "the stream").with_patience(std::time::Duration::ZERO);
    Reader::open(Location::Stream(stream.into())).unwrap().verify_pages(2, &|_| ()).unwrap();
    writer.join().unwrap();
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
    let writer = Writer::create(&path, fixed_origin(65536), FrameSum::Xxh3).unwrap();
    assert_eq!(writer.pages().append(&page(0, 65536)).unwrap(), 65536);
    writer.finish(&(), Sync::None).unwrap();
    let reader = Reader::open(&path).unwrap();
    reader.verify_pages(1, &|_| ()).unwrap();
    assert_eq!(reader.page_range(), 65536..131072);
}

#[test]
fn many_threads_append_at_once() {
    let (_dir, path) = scratch();
    let writer = Writer::create(&path, fixed_origin(4096), FrameSum::Xxh3).unwrap();
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
    let written = writer.finish(&job(1), Sync::None).unwrap();
    assert_eq!(written.page_bytes, total);

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
    let writer = Writer::create(&path, fixed_origin(4096), FrameSum::Xxh3).unwrap();
    let refused = writer.pages().append(&vec![0; len]);
    assert!(matches!(refused, Err(Error::BadRequest { .. })), "{refused:?}");
    writer.finish(&job(1), Sync::None).unwrap();
    assert_eq!(read_all(&path).unwrap().job, job(1));
}

#[test]
fn a_dropped_writer_leaves_nothing_and_the_old_file() {
    let (dir, path) = scratch();
    fs::write(&path, layout::MAGIC).unwrap();
    let writer = Writer::create(&path, fixed_origin(4096), FrameSum::Xxh3).unwrap();
    writer.pages().append(&page(0, 4096)).unwrap();
    drop(writer);
    assert_eq!(names(dir.path()), ["context.4711"]);
    assert_eq!(fs::read(&path).unwrap(), layout::MAGIC);
}

#[test]
fn finishing_replaces_what_had_the_name() {
    let (dir, path) = scratch();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "not mine").unwrap();
    fs::write(&path, layout::MAGIC).unwrap();
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
    let Err(err) = Writer::create(Path::new(path), fixed_origin(4096), FrameSum::Xxh3) else {
        panic!("a writer for {path}");
    };
    assert!(matches!(err, Error::Io { .. } | Error::Taken { .. }), "{err:?}");
    assert!(err.to_string().contains('/'), "{err}");
}

#[test]
fn long_names_are_cut_at_a_character() {
    let (_dir, path) = scratch();
    let origin = Origin { kernel_release: "ä".repeat(100), ..fixed_origin(4096) };
    Writer::create(&path, origin, FrameSum::Xxh3).unwrap().finish(&(), Sync::None).unwrap();
    assert_eq!(Reader::open(&path).unwrap().header().kernel_release, "ä".repeat(64));
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_contents_come_back(
        pid in any::<u32>(),
        comm in ".{0,40}",
        extents in prop::collection::vec(any::<(u64, u64, u64)>(), 0..50),
        frames in prop::collection::vec(1usize..20, 0..6),
    ) {
        let (_dir, path) = scratch();
        let job = Job { pid, comm, extents };
        let writer = Writer::create(&path, fixed_origin(4096), FrameSum::Xxh3).unwrap();
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
