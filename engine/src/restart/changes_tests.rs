//! Every kind of difference and its message.

use super::*;
use crate::resource::bytes::Bytes;
use crate::resource::identity::Node;
use rstest::rstest;

fn was() -> Identity {
    let node = Node { device: (8, 1), inode: 12, owner: (1000, 1000), ctime: 5_000_000_000 };
    Identity { size: 100, mtime: 4_000_000_000, node: Some(node), content: Some(Content::Digest(0xabc)) }
}

fn changed(size: u64, inode: u64) -> Identity {
    let node = Node { inode, ctime: 9_000_000_000, ..was().node.unwrap() };
    Identity { size, mtime: 8_000_000_000, node: Some(node), content: None }
}

fn written() -> Use {
    Use { written: true, ..Use::default() }
}

fn private() -> Use {
    Use { private: Some(70), ..Use::default() }
}

fn all() -> Which {
    Which { all: true, paths: vec![] }
}

/// The verdict without options, or the text of the conflict.
fn verdict(was: &Identity, now: &Identity, reads: u64, used: Use) -> String {
    let path = Path::new("/srv/log");
    let read = |_: &Content| Ok(Some(Content::Digest(reads)));
    let judge = |changes: &Changes| judge(path, was, now, &read, &used, changes);
    let text = match judge(&Changes::default()) {
        Ok(verdict) => return format!("{verdict:?}"),
        Err(err) => err.to_string(),
    };
    let truncated = judge(&Changes { truncate: all(), ignore: Which::default() });
    let ignored = judge(&Changes { truncate: Which::default(), ignore: all() });
    let can = |outcome: &Result<Verdict>, verdict| matches!(outcome, Ok(v) if *v == verdict);
    assert_eq!(text.contains("--truncate"), can(&truncated, Verdict::CutBack), "{text}");
    assert_eq!(text.contains("--ignore-changes"), can(&ignored, Verdict::Ignored), "{text}");
    text
}

#[rstest]
#[case::grown(changed(150, 12), 0xabc, written(), "--truncate", "--ignore-changes")]
#[case::grown_and_copied(changed(150, 13), 0xabc, written(), "--truncate", "--ignore-changes")]
#[case::rotated_and_grown(changed(150, 13), 0xdef, written(), "--ignore-changes", "")]
#[case::input_that_grew(changed(150, 12), 0xabc, Use::default(), "--ignore-changes", "")]
#[case::shrunk(changed(20, 12), 0, written(), "--ignore-changes", "bytes: 100, now 20")]
#[case::replaced(changed(100, 13), 0xdef, Use::default(), "--ignore-changes", "inode: 12, now 13")]
#[case::library(
    changed(100, 13),
    0xdef,
    private(),
    "no option",
    "digest 0000000000000abc, now digest 0000000000000def"
)]
#[case::library_that_grew(changed(150, 12), 0xdef, private(), "no option", "70")]
#[case::mapped_and_cut(changed(20, 12), 0, Use { shared: Some((71, 64)), ..Use::default() }, "no option", "64 bytes")]
#[case::mapped_below(changed(20, 12), 0, Use { shared: Some((71, 16)), ..Use::default() }, "--ignore-changes", "")]
fn what_differs_is_told_with_what_decides(
    #[case] now: Identity,
    #[case] reads: u64,
    #[case] used: Use,
    #[case] first: &str,
    #[case] second: &str,
) {
    let text = verdict(&was(), &now, reads, used);
    assert!(text.starts_with("/srv/log: has "), "{text}");
    assert!(text.contains(first) && text.contains(second), "{text}");
    assert_eq!(text.contains("--truncate"), first == "--truncate", "{text}");
}

#[test]
fn equal_contents_are_no_difference() {
    assert_eq!(verdict(&was(), &changed(100, 13), 0xabc, private()), "Same");
    let moved = Identity { node: Some(Node { device: (9, 0), ..was().node.unwrap() }), ..was() };
    assert_eq!(verdict(&was(), &moved, 0xdef, private()), "Same");
    let theirs = Identity { node: Some(Node { owner: (0, 0), ..was().node.unwrap() }), ..was() };
    let text = verdict(&was(), &theirs, 0xabc, Use::default());
    assert!(text.contains("is now owned by 0:0, but was owned by 1000:1000 at the checkpoint"), "{text}");
}

#[test]
fn what_is_not_known_is_judged_by_size_and_time() {
    let unknown = Identity { content: None, ..was() };
    assert!(verdict(&unknown, &changed(150, 12), 0, written()).contains("--truncate"));
    assert!(!verdict(&unknown, &changed(150, 13), 0, written()).contains("--truncate"));
    assert!(verdict(&unknown, &changed(100, 12), 0, private()).contains("no option"));
    let touched = Identity { mtime: unknown.mtime, ..changed(100, 12) };
    assert!(verdict(&unknown, &touched, 0, private()).contains("--ignore-changes"));
    let version_1 = Identity { node: None, content: None, ..was() };
    assert_eq!(verdict(&version_1, &touched, 0, private()), "Same");
    assert!(verdict(&version_1, &changed(100, 12), 0, private()).contains("no option"));
}

#[test]
fn both_values_are_told() {
    let was = Identity { content: Some(Content::BuildId(Bytes(vec![0xab, 0x01]))), ..was() };
    let found = Content::BuildId(Bytes(vec![0xcd]));
    let text = differences(&was, &changed(150, 13), Some(&found));
    let want = "has grown since the checkpoint (bytes: 100, now 150; build id ab01, now build id cd; inode: 12, now 13; \
                modified: 1970-01-01 00:00:04.000000000 UTC, now 1970-01-01 00:00:08.000000000 UTC)";
    assert_eq!(text, want);
}

#[rstest]
#[case(0, "1970-01-01 00:00:00.000000000 UTC")]
#[case(951_827_696_000_000_001, "2000-02-29 12:34:56.000000001 UTC")]
#[case(1_735_689_599_999_999_999, "2024-12-31 23:59:59.999999999 UTC")]
#[case(-1, "1969-12-31 23:59:59.999999999 UTC")]
fn times_are_told_as_utc(#[case] nanos: i64, #[case] text: &str) {
    assert_eq!(Time(nanos).to_string(), text);
}
