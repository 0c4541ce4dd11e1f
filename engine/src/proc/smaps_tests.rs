//! smaps text as kernels print it, and text that they never print.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// Linux 6.18: a heap, a deleted shared mapping, and the special mappings of x86-64.
const MODERN: &str = "\
5581d2a45000-5581d2a66000 rw-p 00000000 00:00 0                          [heap]
Size:                132 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                 100 kB
Pss:                 100 kB
Pss_Dirty:           100 kB
Shared_Clean:          0 kB
Shared_Dirty:          0 kB
Private_Clean:         0 kB
Private_Dirty:       100 kB
Referenced:          100 kB
Anonymous:           100 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                 12 kB
SwapPss:               8 kB
Locked:                0 kB
THPeligible:           0
ProtectionKey:         3
VmFlags: rd wr mr mw me ac sd 
7f929d4d3000-7f929d5d3000 rw-s 00001000 00:01 21                         /dev/zero (deleted)
Size:               1024 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   4 kB
Pss:                   4 kB
Pss_Dirty:             4 kB
Shared_Clean:          0 kB
Shared_Dirty:          0 kB
Private_Clean:         0 kB
Private_Dirty:         4 kB
Referenced:            4 kB
Anonymous:             0 kB
KSM:                   0 kB
LazyFree:              0 kB
AnonHugePages:         0 kB
ShmemPmdMapped:        0 kB
FilePmdMapped:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:       0 kB
Swap:                  0 kB
SwapPss:               0 kB
Locked:                0 kB
THPeligible:           0
VmFlags: rd wr sh mr mw me ms gu 
7f929e456000-7f929e45a000 r--p 00000000 00:00 0                          [vvar]
Size:                 16 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   0 kB
Swap:                  0 kB
VmFlags: rd mr pf io de dd 
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
Size:                  4 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   0 kB
Swap:                  0 kB
VmFlags: ex 
";

/// Linux 5.10: huge pages, a flag without a code in this version, names with spaces and line
/// breaks.
const OLDER: &str = "\
00400000-00401000 r-xp 00000000 fe:1a 18446744073709551615               /opt/a program\\012of two lines 
Size:                  4 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   4 kB
Pss:                   1 kB
Anonymous:             0 kB
FilePmdMapped:         0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me dw lo ?? 
7f0000000000-7f0000400000 rw-p 00000000 00:0f 2345                       /anon_hugepage (deleted)
Size:               4096 kB
KernelPageSize:     2048 kB
MMUPageSize:        2048 kB
Rss:                   0 kB
Anonymous:             0 kB
Shared_Hugetlb:     2048 kB
Private_Hugetlb:    2048 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me de ht zz 
7f0000400000-7f0000500000 ---p 00000000 00:00 0 
Size:               1024 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                   0 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: mr mw me nr 
";

/// One line for each mapping, with everything that was parsed.
fn show(vmas: &[Vma]) -> String {
    let line = |vma: &Vma| {
        let mut flags: Vec<String> = vma.flags.iter_names().map(|(name, _)| name.to_lowercase()).collect();
        flags.extend(vma.unknown.iter().map(|code| format!("{code}?")));
        let yes = |set: bool, letter: char| if set { letter } else { '-' };
        format!(
            "{:x}-{:x} {}{}{}{} +{:x} {}:{} {} {:?} rss={} huge={} swap={} anon={} page={} key={:?} | {}\n",
            vma.start,
            vma.end,
            yes(vma.read, 'r'),
            yes(vma.write, 'w'),
            yes(vma.exec, 'x'),
            yes(vma.shared, 's'),
            vma.offset,
            vma.dev.0,
            vma.dev.1,
            vma.inode,
            vma.path.as_deref().map(String::from_utf8_lossy),
            vma.rss,
            vma.hugetlb,
            vma.swap,
            vma.anonymous,
            vma.kernel_page_size,
            vma.protection_key,
            flags.join(" "),
        )
    };
    vmas.iter().map(line).collect()
}

#[test]
fn reads_what_a_modern_kernel_prints() {
    let vmas = parse(MODERN.as_bytes()).unwrap();
    insta::assert_snapshot!(show(&vmas), @r#"
    5581d2a45000-5581d2a66000 rw-- +0 0:0 0 Some("[heap]") rss=102400 huge=0 swap=12288 anon=102400 page=4096 key=Some(3) | read write may_read may_write may_exec account soft_dirty
    7f929d4d3000-7f929d5d3000 rw-s +1000 0:1 21 Some("/dev/zero (deleted)") rss=4096 huge=0 swap=0 anon=0 page=4096 key=None | read write shared may_read may_write may_exec may_share maybe_guard
    7f929e456000-7f929e45a000 r--- +0 0:0 0 Some("[vvar]") rss=0 huge=0 swap=0 anon=0 page=4096 key=None | read may_read pfn_map io dont_expand dont_dump
    ffffffffff600000-ffffffffff601000 --x- +0 0:0 0 Some("[vsyscall]") rss=0 huge=0 swap=0 anon=0 page=4096 key=None | exec
    "#);
    assert_eq!(vmas[0].special(), Some(b"heap".as_slice()));
    assert_eq!(vmas[0].size(), 132 * 1024);
    assert_eq!((vmas[1].is_deleted(), vmas[1].bare_path()), (true, Some(b"/dev/zero".as_slice())));
    assert_eq!(vmas[1].special(), None);
}

#[test]
fn reads_what_an_older_kernel_prints() {
    let vmas = parse(OLDER.as_bytes()).unwrap();
    insta::assert_snapshot!(show(&vmas), @r#"
    400000-401000 r-x- +0 254:26 18446744073709551615 Some("/opt/a program\nof two lines ") rss=4096 huge=0 swap=0 anon=0 page=4096 key=None | read exec may_read may_write may_exec deny_write locked ???
    7f0000000000-7f0000400000 rw-- +0 0:15 2345 Some("/anon_hugepage (deleted)") rss=0 huge=4194304 swap=0 anon=0 page=2097152 key=None | read write may_read may_write may_exec dont_expand hugetlb zz?
    7f0000400000-7f0000500000 ---- +0 0:0 0 None rss=0 huge=0 swap=0 anon=0 page=4096 key=None | may_read may_write may_exec no_reserve
    "#);
    assert_eq!((vmas[2].path.as_deref(), vmas[2].bare_path(), vmas[2].special()), (None, None, None));
    assert!(!vmas[2].is_deleted());
}

#[test]
fn reads_this_process() {
    let vmas = parse(&std::fs::read("/proc/self/smaps").unwrap()).unwrap();
    let here = reads_this_process as *const () as u64;
    let code = vmas.iter().find(|vma| (vma.start..vma.end).contains(&here)).expect("the test's own code");
    assert!(code.exec && code.flags.contains(VmFlags::EXEC | VmFlags::READ) && code.rss > 0);
    let file = std::env::current_exe().unwrap();
    assert_eq!(code.path.as_deref(), Some(file.as_os_str().as_encoded_bytes()));
    assert!(
        vmas.iter().any(|vma| vma.special() == Some(b"stack") && vma.flags.contains(VmFlags::GROWS_DOWN))
    );
    assert!(vmas.iter().all(|vma| vma.kernel_page_size >= 4096));
}

#[test]
fn no_memory_is_no_mappings() {
    // A zombie or kernel thread has an empty file.
    assert_eq!(parse(b""), Ok(vec![]));
}

#[rstest]
#[case::detail_first("Rss: 4 kB\n", 1, "a detail before the first mapping")]
#[case::no_address("hello\n", 1, "not the first line of a mapping")]
#[case::wide_address("10000000000000000-2 r--p 0 00:00 0 \n", 1, "not the first line of a mapping")]
#[case::odd_permission("1000-2000 rwzp 00000000 00:00 0 \n", 1, "not the first line of a mapping")]
#[case::odd_sharing("1000-2000 rwx- 00000000 00:00 0 \n", 1, "not the first line of a mapping")]
#[case::no_inode("1000-2000 rwxp 00000000 00:00 \n", 1, "not the first line of a mapping")]
#[case::empty_range("2000-2000 rwxp 00000000 00:00 0 \nVmFlags: rd \n", 1, "addresses are out of order")]
#[case::overlap(
    "1000-3000 rwxp 00000000 00:00 0 \nVmFlags: rd \n2000-4000 rwxp 00000000 00:00 0 \nVmFlags: rd \n",
    3,
    "addresses are out of order"
)]
#[case::no_unit(
    "1000-2000 rwxp 00000000 00:00 0 \nRss:     4\nVmFlags: rd \n",
    2,
    "not a detail of a mapping"
)]
#[case::too_much(
    "1000-2000 rwxp 00000000 00:00 0 \nSwap: 18014398509481985 kB\n",
    2,
    "not a detail of a mapping"
)]
#[case::maps_not_smaps(
    "1000-2000 rwxp 00000000 00:00 0 \n2000-3000 rwxp 00000000 00:00 0 \n",
    2,
    "the previous mapping has no VmFlags"
)]
#[case::cut_off("1000-2000 rwxp 00000000 00:00 0 \nRss:   4 kB\n", 3, "the last mapping has no VmFlags")]
fn refuses_what_no_kernel_prints(#[case] text: &str, #[case] line: usize, #[case] what: &str) {
    let error = parse(text.as_bytes()).unwrap_err();
    assert_eq!((error.line, error.what), (line, what), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&text);
    }

    /// Real text with a few bytes changed: no panic, and accepted mappings stay in order.
    #[test]
    fn damaged_text_stays_in_order(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = MODERN.as_bytes().to_vec();
        for (at, value) in hits {
            let at = at.index(text.len());
            text[at] = value;
        }
        text.truncate(cut.index(2 * text.len()));
        if let Ok(vmas) = parse(&text) {
            prop_assert!(vmas.iter().all(|vma| vma.start < vma.end));
            prop_assert!(vmas.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }

    /// Printed headers are parsed back unchanged.
    #[test]
    fn headers_come_back(
        start in 0u64..1 << 48,
        pages in 1u64..1 << 20,
        bits in any::<[bool; 4]>(),
        offset in any::<u64>(),
        dev in any::<(u32, u32)>(),
        inode in any::<u64>(),
        path in prop::option::of("/[a-z \\n()é]{0,30}"),
    ) {
        let (start, end) = (start << 12, (start + pages) << 12);
        let letter = |set: bool, letter: char| if set { letter } else { '-' };
        let head = format!(
            "{start:08x}-{end:08x} {}{}{}{} {offset:08x} {:02x}:{:02x} {inode} ",
            letter(bits[0], 'r'),
            letter(bits[1], 'w'),
            letter(bits[2], 'x'),
            if bits[3] { 's' } else { 'p' },
            dev.0,
            dev.1,
        );
        let name = path.as_deref().map(|path| path.replace('\n', "\\012")).unwrap_or_default();
        let text = format!("{head:<73}{name}\nVmFlags: rd \n");
        let expected = Vma {
            start,
            end,
            read: bits[0],
            write: bits[1],
            exec: bits[2],
            shared: bits[3],
            offset,
            dev,
            inode,
            path: path.map(String::into_bytes),
            flags: VmFlags::READ,
            ..Vma::default()
        };
        prop_assert_eq!(parse(text.as_bytes()), Ok(vec![expected]));
    }
}
