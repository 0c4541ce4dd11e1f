//! Mappings that are refused because of their flags.

use super::*;
use rstest::rstest;

fn described(flags: VmFlags, unknown: &[&str]) -> Result<Vma, String> {
    let (start, end) = (0x1000, 0x3000);
    let unknown = unknown.iter().map(|code| (*code).to_owned()).collect();
    let vma = smaps::Vma { start, end, read: true, flags, unknown, ..smaps::Vma::default() };
    describe(&vma, Backing::Anonymous { name: None })
}

#[rstest]
#[case::of_a_device_without_pages(VmFlags::PFN_MAP, "pfn_map")]
#[case::of_a_device(VmFlags::IO, "io")]
#[case::partly_without_pages(VmFlags::MIXED_MAP, "mixed_map")]
#[case::of_persistent_memory(VmFlags::SYNC, "sync")]
#[case::with_a_memory_type_of_its_own(VmFlags::ARCH_1, "arch_1")]
#[case::a_shadow_stack(VmFlags::SHADOW_STACK, "shadow_stack")]
#[case::watched_for_missing_pages(VmFlags::UFFD_MISSING, "uffd_missing")]
#[case::watched_for_writes(VmFlags::UFFD_WP, "uffd_wp")]
#[case::watched_for_minor_faults(VmFlags::UFFD_MINOR, "uffd_minor")]
fn a_flag_that_nothing_sets_again_is_refused(#[case] flag: VmFlags, #[case] name: &str) {
    let why = described(VmFlags::READ | flag, &[]).unwrap_err();
    assert!(why.contains(name), "{why}");
}

#[test]
fn a_flag_that_is_not_known_is_refused() {
    let why = described(VmFlags::READ, &["ur"]).unwrap_err();
    assert!(why.contains("unknown flags: ur"), "{why}");
    assert!(described(VmFlags::READ | VmFlags::MAY_READ | VmFlags::RAND_READ, &[]).is_ok());
}
