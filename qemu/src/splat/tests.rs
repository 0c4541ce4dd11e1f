//! The scanner on real kernel logs.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[rstest]
#[case::clean("clean", include_str!("logs/clean.txt"))]
#[case::null_dereference("null-dereference", include_str!("logs/null-dereference.txt"))]
#[case::warn("warn", include_str!("logs/warn.txt"))]
#[case::panic_no_init("panic-no-init", include_str!("logs/panic-no-init.txt"))]
#[case::lockups("lockups", include_str!("logs/lockups.txt"))]
#[case::arm64_oops("arm64-oops", include_str!("logs/arm64-oops.txt"))]
#[case::powerpc_oops("powerpc-oops", include_str!("logs/powerpc-oops.txt"))]
#[case::bad_page("bad-page", include_str!("logs/bad-page.txt"))]
fn reports(#[case] name: &str, #[case] log: &str) {
    insta::assert_json_snapshot!(name, scan(log));
}

#[rstest]
#[case("[    1.234567] WARNING: CPU", "WARNING: CPU")]
#[case("<4>[    1.234567][  T71] BUG: x", "BUG: x")]
#[case("[drm] fine", "[drm] fine")]
#[case("plain", "plain")]
#[case("[    1.234567] [0000000000000010] pgd=0", "[0000000000000010] pgd=0")]
#[case("[  OK  ] Started", "[  OK  ] Started")]
fn stamps(#[case] line: &str, #[case] text: &str) {
    assert_eq!(strip_stamp(line), text);
}

#[rstest]
#[case(0, "")]
#[case(1 << 9, "W")]
#[case(1 | 1 << 7 | 1 << 12, "PDO")]
#[case(1 << 40, "?")]
fn taint(#[case] mask: u64, #[case] letters: &str) {
    assert_eq!(taint_letters(mask), letters);
}

#[test]
fn words_of_other_programs_open_nothing() {
    assert_eq!(scan("test: WARNING: nothing\nmy BUG: no\n"), []);
}

/// Reports of sanitizers, which have formats of their own.
#[rstest]
#[case(
    "unreferenced object 0xffff88807e366000 (size 256):\n  comm \"kmod-test\", pid 99, jiffies 42\n",
    Kind::Sanitizer
)]
#[case("[    3.0] [ BUG: Invalid wait context ]\n", Kind::Lockdep)]
#[case("[    3.0] INFO: trying to register non-static key.\n", Kind::Lockdep)]
#[case("[    3.0] BUG kmalloc-64 (Not tainted): Poison overwritten\n", Kind::Bug)]
#[case("[    3.0] kmemleak: Kernel memory leak detector disabled\n", Kind::Sanitizer)]
fn reports_of_sanitizers(#[case] log: &str, #[case] kind: Kind) {
    assert_eq!(scan(log).iter().map(|splat| splat.kind).collect::<Vec<_>>(), [kind]);
}

#[test]
fn a_leak_detector_may_say_that_it_is_there() {
    assert_eq!(
        scan("[    3.0] kmemleak: Kernel memory leak detector initialized (mem pool available: 37042)\n"),
        []
    );
}

const CHANGED: &str = "Code: 00 89 83 e3 01 0f 85 54 ff ff ff 41 8b 4f 20 66 <90> f7 c1 00 00 10 00";

#[rstest]
#[case::of_6_4("int3: 0000 [#1] PREEMPT SMP NOPTI", CHANGED, true)]
#[case::of_7_3("Oops: int3: 0000 [#1] SMP NOPTI", CHANGED, true)]
#[case::a_breakpoint_that_is_there(
    "Oops: int3: 0000 [#1] SMP NOPTI",
    "Code: 0f 85 54 ff cc <90> f7 c1",
    false
)]
#[case::another_fault("Oops: invalid opcode: 0000 [#1] SMP NOPTI", CHANGED, false)]
#[case::code_that_cannot_be_read(
    "Oops: int3: 0000 [#1] SMP NOPTI",
    "Code: Unable to access opcode bytes",
    false
)]
fn code_that_was_changed_meanwhile(#[case] title: &str, #[case] code: &str, #[case] stale: bool) {
    let log = format!(
        "[    3.0] {title}\n[    3.0] CPU: 3 PID: 1 Comm: swapper/0\n[    3.0] RIP: 0010:__mod_timer+0x1c3/0x370\n[    3.0] {code}\n"
    );
    let splats = scan(&log);
    assert_eq!(
        splats.iter().map(|splat| (splat.kind, splat.is_of_stale_code())).collect::<Vec<_>>(),
        [(Kind::Oops, stale)]
    );
}

proptest! {
    #[test]
    fn never_panics_and_keeps_order(log in "([ -~]{0,40}\n|WARNING: CPU: 0\n|---\\[ end trace 1 \\]---\n|Kernel panic - not syncing: x\n){0,60}") {
        let splats = scan(&log);
        prop_assert!(splats.windows(2).all(|w| w[0].line < w[1].line));
        let panics = log.lines().filter(|l| l.starts_with("Kernel panic - not syncing")).count();
        prop_assert_eq!(splats.iter().filter(|s| s.kind == Kind::Panic).count(), panics);
    }
}
