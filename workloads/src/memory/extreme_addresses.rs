//! The engine needs address space of its own in a process while it rebuilds it: it must not use
//! these addresses.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "pages at the lowest and the highest address there is",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let lowest = std::fs::read_to_string("/proc/sys/vm/mmap_min_addr").context("read mmap_min_addr")?;
    let lowest: usize = lowest.trim().parse::<usize>()?.max(page_size());
    let highest = arch::ADDRESS_ENDS.iter().map(|(bits, free)| (1 << bits) - (free + 1) * page_size());
    let mut pages = Vec::new();
    for start in [lowest, 1 << 31, (1 << 32) - page_size(), 1 << 46].into_iter().chain(highest) {
        match Mapping::at(start, page_size(), prot, flags, None) {
            Ok(mut page) => {
                pattern::fill(page.bytes_mut(), cx.seed + start as u64);
                pages.push(page);
            }
            // The address is in use, or the address space has another layout.
            Err(error) if matches!(sys::errno_in(&error), Some(libc::EEXIST | libc::ENOMEM)) => {}
            Err(error) => return Err(error),
        }
    }
    // What the processor's list shows, the kernel uses (arch/x86/kernel/cpu/common.c,
    // `early_identify_cpu`).
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").context("read cpuinfo")?;
    if cpuinfo.split_ascii_whitespace().any(|word| word == "la57") {
        let high = pages.iter().any(|page| page.start() >> 47 != 0);
        expect(high, || "no page above 2^47, with page tables of five levels".into())?;
    }
    if pages.len() < 3 {
        return skip("the address space has another layout");
    }

    cx.ready()?;

    for page in &pages {
        pattern::verify(
            &format!("page at {:#x}", page.start()),
            page.bytes(),
            cx.seed + page.start() as u64,
        )?;
    }
    Ok(())
}
