//! Files that are not what they should be: other, foreign, future, cut, damaged.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use rstest::rstest;

use super::super::layout::{self, FOOTER_LEN, HEADER_LEN};
use super::*;

#[rstest]
#[case::empty(b"".as_slice(), "it is empty")]
#[case::text(b"hello", "its magic number does not match")]
#[case::elf(b"\x7fELF\x02\x01\x01", "its magic number does not match")]
#[case::gzip(b"\x1f\x8b\x08\0", "compressed with gzip; unpack it first, with `gunzip`")]
#[case::zstd(b"\x28\xb5\x2f\xfd\x24", "compressed with zstd; unpack it first, with `zstd -d`")]
#[case::xz(b"\xfd7zXZ\0\0", "compressed with xz; unpack it first, with `unxz`")]
#[case::bzip2(b"BZh91AY&SY", "compressed with bzip2; unpack it first, with `bunzip2`")]
#[case::lz4(b"\x04\x22\x4d\x18\x64", "compressed with lz4; unpack it first, with `lz4 -d`")]
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
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    for (path, words) in
        [(dir.path(), "it is a directory"), (&path, "pass a stream on standard input, as `-`")]
    {
        let err = Reader::open(path).err().unwrap();
        assert!(matches!(err, Error::NotContextFile { .. }), "{err:?}");
        assert!(err.to_string().contains(words), "{err}");
    }
    let missing = Reader::open(dir.path().join("missing")).err().unwrap();
    assert_eq!(missing.errno(), Some(libc::ENOENT));
}

/// Replaces bytes of a header and makes its checksum right again, as another program would have
/// written it.
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
    assert_eq!(err.to_string(), "context file has format version 2, but this cairn reads up to 1");

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
    "context file was written on x86_64, but this machine is aarch64")]
#[case::byte_order(Machine { e_machine: 62, class: 2, data: 2 }, 4096,
    "context file was written on x86_64, but this machine is ELF machine 62 (class 2, data 2)")]
#[case::page_size(Machine { e_machine: 62, class: 2, data: 1 }, 65536,
    "context file was written with 4096-byte pages, but this kernel has 65536-byte pages")]
fn foreign_files_open_but_do_not_fit(#[case] here: Machine, #[case] page_size: u32, #[case] text: &str) {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    read_all(&path).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.check_machine(here, page_size).unwrap_err().to_string(), text);
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
fn of_many_bad_frames_the_first_is_named() {
    let (_dir, path) = scratch();
    let job = write_file(&path, &[1; 64]);
    let file = File::options().write(true).open(&path).unwrap();
    for &(_, _, offset) in &job.extents[1..] {
        file.write_all_at(b"!", offset + 100).unwrap();
    }
    let reader = Reader::open(&path).unwrap();
    for round in 0..100 {
        let err = reader.verify_pages(8, &|_| ()).unwrap_err();
        let Error::Damaged { section: Section::Pages, offset, .. } = err else { panic!("{err:?}") };
        assert_eq!(offset, job.extents[1].2, "in round {round}");
    }
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
    // An index that gives all of a terabyte of nothing to the checksum table, with right checksums
    // of its own.
    let at = len - FOOTER_LEN as u64 - 96;
    let entries = [
        layout::Entry { kind: 1, offset: 4096, len: 4096, sum: 0 },
        layout::Entry { kind: 2, offset: 8192, len: 8, sum: 0 },
        layout::Entry { kind: 3, offset: 8200, len: (at - 8200) / 24 * 24, sum: 0 },
    ];
    let index: Vec<u8> = entries.iter().flat_map(layout::Entry::encode).collect();
    let footer = layout::Footer {
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes, a reader gives an error or the very contents that were
    /// written.
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
            bytes[..8].copy_from_slice(&layout::MAGIC);
        }
        if end && bytes.len() >= 16 {
            let at = bytes.len() - 8;
            bytes[at..].copy_from_slice(&layout::END_MAGIC);
        }
        File::create(&path).unwrap().write_all(&bytes).unwrap();
        prop_assert!(read_all(&path).is_err());
    }

    /// Records bytes that carry a right checksum but make no sense: a program's error, or an
    /// attack.
    #[test]
    fn senseless_records_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut from = bytes.as_slice();
        if let Ok(job) = super::super::records::decode::<Job>(&mut from) {
            prop_assert!(job.comm.len() + job.extents.len() <= bytes.len());
        }
    }
}
