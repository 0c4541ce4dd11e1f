//! The digest of memory contents.

use super::*;

#[test]
fn the_digest_sees_contents_and_not_layout() {
    let (dir, _) = scratch();
    let pages: Vec<Vec<u8>> = (0..6).map(|n| page(n, 4096)).collect();
    let zero = vec![0u8; 4096];
    // Writes (address, page) pairs one frame each, gives back the reader and one extent per page.
    let write = |name: &str, saved: &[(u64, &Vec<u8>)]| {
        let path = dir.path().join(name);
        let writer = Writer::create(&path, fixed_origin(4096), FrameSum::Xxh3).unwrap();
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
