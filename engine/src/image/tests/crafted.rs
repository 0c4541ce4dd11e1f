//! Files whose checksums are right and whose tables are wrong: another program's mistake, or an
//! attack.

use std::fs;
use std::os::unix::fs::FileExt;

use rstest::rstest;
use xxhash_rust::xxh3::xxh3_64;

use super::super::layout::{self, Entry, FOOTER_LEN, FRAME_ENTRY_LEN, Footer, Frame, INDEX_ENTRY_LEN};
use super::*;

/// The tables of a file, to be changed.
struct Tables {
    frames: Vec<Frame>,
    entries: Vec<Entry>,
    footer: Footer,
}

impl Tables {
    fn entry(&mut self, kind: u32) -> &mut Entry {
        self.entries.iter_mut().find(|entry| entry.kind == kind).unwrap()
    }
}

/// Takes a file apart, lets `change` at its tables and puts it together again with checksums that
/// fit. What comes before the page checksums stays as it is.
fn craft(path: &Path, change: impl FnOnce(&mut Tables)) {
    let mut bytes = fs::read(path).unwrap();
    let len = bytes.len() as u64;
    let footer = Footer::decode(bytes.last_chunk::<FOOTER_LEN>().unwrap(), len).unwrap();
    let range = |offset: u64, len: u64| offset as usize..(offset + len) as usize;
    let index = &bytes[range(footer.index_offset, footer.index_len)];
    let entries: Vec<Entry> = index.as_chunks::<INDEX_ENTRY_LEN>().0.iter().map(Entry::decode).collect();
    let table = entries[2];
    let frames = &bytes[range(table.offset, table.len)];
    let frames = frames.as_chunks::<FRAME_ENTRY_LEN>().0.iter().map(Frame::decode).collect();
    let mut tables = Tables { frames, entries, footer };

    change(&mut tables);
    bytes.truncate(table.offset as usize);
    let encoded: Vec<u8> = tables.frames.iter().flat_map(Frame::encode).collect();
    tables.entries[2].sum = xxh3_64(&encoded);
    if encoded.len() as u64 != table.len {
        tables.entries[2].len = encoded.len() as u64;
    }
    bytes.extend(encoded);
    let index: Vec<u8> = tables.entries.iter().flat_map(Entry::encode).collect();
    let longer = tables.footer.total_len as i64 - len as i64;
    tables.footer.index_offset = bytes.len() as u64;
    tables.footer.index_len = index.len() as u64;
    tables.footer.index_sum = xxh3_64(&index);
    bytes.extend(index);
    tables.footer.total_len = (bytes.len() as u64 + FOOTER_LEN as u64).saturating_add_signed(longer);
    bytes.extend(tables.footer.encode());
    fs::write(path, bytes).unwrap();
}

#[test]
fn crafting_nothing_changes_nothing() {
    let (_dir, path) = scratch();
    write_file(&path, &[1, 2, 3]);
    let before = fs::read(&path).unwrap();
    craft(&path, |_| ());
    assert_eq!(fs::read(&path).unwrap(), before);
}

type Change = fn(&mut Tables);

#[rstest]
#[case::no_pages(|t: &mut Tables| t.entries[0].kind = 1000, Section::Index, "does not list the page data")]
#[case::no_records(|t: &mut Tables| t.entries[1].kind = 1000, Section::Index, "does not list the records")]
#[case::no_checksums(|t: &mut Tables| t.entries[2].kind = 1000, Section::Index, "does not list the page checksums")]
#[case::two_of_a_kind(|t: &mut Tables| t.entries[1].kind = 1, Section::Index, "listed twice")]
#[case::overlap(|t: &mut Tables| t.entries[1].offset -= 1, Section::Index, "section 1 has an invalid offset")]
#[case::in_the_header(|t: &mut Tables| t.entries[0].offset -= 4096, Section::Index, "section 0 has an invalid offset")]
#[case::in_the_index(|t: &mut Tables| t.entries[2].len += 24, Section::Index, "section 2 has an invalid offset")]
#[case::endless(|t: &mut Tables| t.entries[2].len = u64::MAX - 23, Section::Index, "section 2 has an invalid offset")]
#[case::part_of_a_page(|t: &mut Tables| t.entries[0].len -= 1, Section::Index, "not a multiple of the page size")]
#[case::askew(|t: &mut Tables| { t.entries[0].offset += 8; t.entries[0].len -= 4096 }, Section::Index, "not a multiple of the page size")]
#[case::part_of_a_frame_entry(|t: &mut Tables| t.entries[2].len -= 1, Section::Index, "not a multiple of the entry size")]
#[case::a_frame_is_missing(|t: &mut Tables| { t.frames.pop(); }, Section::Checksums, "some page data have no checksum")]
#[case::a_frame_is_skipped(|t: &mut Tables| { t.frames.remove(1); }, Section::Checksums, "entry 1 is invalid")]
#[case::frames_overlap(|t: &mut Tables| t.frames[2].offset -= 4096, Section::Checksums, "entry 2 is invalid")]
#[case::out_of_order(|t: &mut Tables| t.frames.swap(0, 1), Section::Checksums, "entry 0 is invalid")]
#[case::an_empty_frame(|t: &mut Tables| t.frames[1].len = 0, Section::Checksums, "entry 1 is invalid")]
#[case::an_odd_frame(|t: &mut Tables| t.frames[2].len -= 1, Section::Checksums, "entry 2 is invalid")]
#[case::a_long_frame(|t: &mut Tables| t.frames[2].len = !4095, Section::Checksums, "entry 2 is invalid")]
#[case::a_frame_too_many(
    |t: &mut Tables| t.frames.push(Frame { offset: 4096 * 7, len: 4096, sum: 0 }),
    Section::Checksums,
    "entry 3 is invalid"
)]
#[case::another_page(|t: &mut Tables| t.frames[1].sum ^= 1, Section::Pages, "checksum does not match")]
#[case::other_records(|t: &mut Tables| t.entries[1].sum ^= 1, Section::Records, "checksum does not match")]
#[case::fewer_records(|t: &mut Tables| t.entries[1].len -= 1, Section::Records, "checksum does not match")]
#[case::another_header(|t: &mut Tables| t.footer.header_sum ^= 1, Section::Footer, "belongs to a different header")]
#[case::shorter(|t: &mut Tables| t.footer.total_len -= 1, Section::Footer, "longer than its footer says")]
fn tables_are_not_believed(#[case] change: Change, #[case] section: Section, #[case] what: &str) {
    let (_dir, path) = scratch();
    write_file(&path, &[1, 2, 3]);
    craft(&path, change);
    let err = read_all(&path).unwrap_err();
    let Error::Damaged { section: found, .. } = err else { panic!("{err:?}") };
    assert_eq!(found, section, "{err}");
    assert!(err.to_string().contains(what), "{err}");
}

#[test]
fn a_file_that_should_be_longer_is_cut_short() {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    craft(&path, |tables| tables.footer.total_len += 1);
    let err = Reader::open(&path).err().unwrap();
    assert!(matches!(err, Error::Truncated { .. }), "{err:?}");
}

#[test]
fn sections_of_the_future_are_passed_over() {
    let (_dir, path) = scratch();
    let job = write_file(&path, &[1]);
    craft(&path, |tables| {
        let after = tables.entries[2];
        tables.entries.push(Entry { kind: 9, offset: after.end(), len: 0, sum: 5 });
    });
    assert_eq!(read_all(&path).unwrap().job, job);
}

#[test]
fn too_many_sections_are_refused() {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    craft(&path, |tables| {
        let end = tables.entries[2].end();
        tables.entries.extend((100..200).map(|kind| Entry { kind, offset: end, len: 0, sum: 0 }));
    });
    assert!(matches!(Reader::open(&path), Err(Error::Damaged { section: Section::Footer, .. })));
}

/// Each byte and each length of a small file in turn: nothing is left that no checksum covers.
#[test]
fn no_byte_can_change_and_none_be_missing() {
    let (_dir, path) = scratch();
    write_file(&path, &[1]);
    let len = fs::metadata(&path).unwrap().len();
    let file = fs::File::options().read(true).write(true).open(&path).unwrap();
    // What fills up the records to a multiple of 8 belongs to nothing.
    let mut records_end = 0;
    craft(&path, |tables| records_end = tables.entry(layout::KIND_RECORDS).end());
    let padding = records_end..records_end.next_multiple_of(layout::ALIGN);
    for at in (0..len).filter(|at| !padding.contains(at)) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << (at % 8)], at).unwrap();
        assert!(read_all(&path).is_err(), "byte {at} of {len} has changed unnoticed");
        file.write_all_at(&byte, at).unwrap();
    }
    read_all(&path).unwrap();
    for shorter in (0..len).rev() {
        file.set_len(shorter).unwrap();
        assert!(read_all(&path).is_err(), "{shorter} of {len} bytes pass for the whole");
    }
}
