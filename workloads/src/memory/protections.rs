//! A range split by mprotect(2): no access, read, write, execute. Contents are intact whatever the
//! protection, and the protection is in effect.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "pages with every kind of protection, with contents",
    needs: &[],
    active: false,
    statik: true,
    run,
};

const KINDS: [(i32, &str); 5] = [
    (libc::PROT_NONE, "---p"),
    (libc::PROT_READ, "r--p"),
    (libc::PROT_READ | libc::PROT_WRITE, "rw-p"),
    (libc::PROT_READ | libc::PROT_EXEC, "r-xp"),
    (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC, "rwxp"),
];

fn run(cx: &mut Ctx) -> Outcome {
    let mut memory = Mapping::private(20 * page_size())?;
    pattern::fill(memory.bytes_mut(), cx.seed);
    for index in 0..20 {
        memory.protect(index, 1, KINDS[index % 5].0)?;
    }

    cx.ready()?;

    for index in 0..20 {
        let vma = procfs::vma_at(memory.start() + index * page_size())?;
        expect_eq(&format!("protection of page {index}"), vma.perms.as_str(), KINDS[index % 5].1)?;
    }
    super::helpers::dies_reading(memory.start(), libc::SIGSEGV)?;
    super::helpers::dies_writing(memory.start() + page_size(), libc::SIGSEGV)?;
    memory.protect(0, 20, libc::PROT_READ)?;
    pattern::verify("contents", memory.bytes(), cx.seed)
}
