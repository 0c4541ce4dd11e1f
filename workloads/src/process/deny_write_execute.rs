//! prctl(PR_SET_MDWE) (Linux 6.3): no memory that was writable becomes executable from then on.
//! It cannot be cleared. Earlier mappings stay.

use crate::framework::prelude::*;
use libc::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE};

pub const WORKLOAD: Workload = Workload {
    purpose: "memory that is written denied to become executable, with and without children to inherit it",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const INHERITED: libc::c_ulong = libc::PR_MDWE_REFUSE_EXEC_GAIN as _;
/// Linux 6.6
const NOT_INHERITED: libc::c_ulong = INHERITED | libc::PR_MDWE_NO_INHERIT as libc::c_ulong;

fn run(cx: &mut Ctx) -> Outcome {
    if let Err(error) = sys::prctl(libc::PR_GET_MDWE, [0; 4]) {
        anyhow::ensure!(sys::errno_in(&error) == Some(libc::EINVAL), error);
        return skip("the kernel has no PR_SET_MDWE");
    }
    let stage = Stage::new()?;
    let mut children = Vec::new();
    for bits in [INHERITED, NOT_INHERITED] {
        // Whether it can be set is tested in a child, because it cannot be cleared.
        if fork("a trial", || sys::prctl(libc::PR_SET_MDWE, [bits, 0, 0, 0]).map(drop))?.wait()? != 0 {
            anyhow::ensure!(bits == NOT_INHERITED, "PR_SET_MDWE failed");
            continue;
        }
        children.push(stage.fork("the denied process", |stage| {
            let code = code()?;
            sys::prctl(libc::PR_SET_MDWE, [bits, 0, 0, 0])?;
            denied(bits)?;
            let child = stage.fork("its child", |stage| {
                let bits = if bits == NOT_INHERITED { 0 } else { bits };
                denied(bits)?;
                stage.hold();
                denied(bits)
            })?;
            stage.hold();
            denied(bits).context("afterwards")?;
            let perms = procfs::vma_at(code.start())?.perms;
            expect_eq("protection of what was mapped before", perms.as_str(), "rwxp")?;
            expect_eq("result of its code", call(&code), 0x5aa5)?;
            child.join()
        })?);
    }

    cx.ready()?;

    denied(0).context("in the root")?;
    stage.release();
    children.into_iter().try_for_each(Child::join)
}

/// A writable and executable page with a function in it.
fn code() -> anyhow::Result<Mapping> {
    let prot = PROT_READ | PROT_WRITE | PROT_EXEC;
    let mut page = Mapping::new(page_size(), prot, MAP_PRIVATE | MAP_ANONYMOUS, None)?;
    page.bytes_mut()[..arch::CODE.len()].copy_from_slice(arch::CODE);
    arch::flush_code(page.ptr());
    Ok(page)
}

fn call(page: &Mapping) -> i32 {
    // SAFETY: the page holds a function of this signature.
    unsafe { std::mem::transmute::<*mut u8, extern "C" fn() -> i32>(page.ptr())() }
}

/// `bits` are set, and both ways to writable and executable memory are refused if and only if one
/// is.
fn denied(bits: libc::c_ulong) -> Outcome {
    expect_eq("PR_GET_MDWE", sys::prctl(libc::PR_GET_MDWE, [0; 4])? as libc::c_ulong, bits)?;
    let want = (bits != 0).then_some(Some(libc::EACCES));
    let errno = |result: anyhow::Result<()>| result.err().map(|error| sys::errno_in(&error));
    let all = PROT_READ | PROT_WRITE | PROT_EXEC;
    let at_once = Mapping::new(page_size(), all, MAP_PRIVATE | MAP_ANONYMOUS, None).map(drop);
    expect_eq("errno of mmap", errno(at_once), want)?;
    let later = Mapping::private(page_size())?.protect(0, 1, PROT_READ | PROT_EXEC);
    expect_eq("errno of mprotect", errno(later), want)
}
