//! Seals of memfds: kept, one by one, and in force.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "seals of memfds, and a mapping that may be written in spite of one",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/fcntl.h (Linux 6.3)
const F_SEAL_EXEC: i32 = 0x20;
/// include/uapi/linux/memfd.h (Linux 6.3)
const MFD_NOEXEC_SEAL: libc::c_uint = 8;
const MFD_EXEC: libc::c_uint = 0x10;

const SETS: [i32; 7] = [
    0,
    libc::F_SEAL_SEAL,
    libc::F_SEAL_SHRINK,
    libc::F_SEAL_GROW | libc::F_SEAL_SEAL,
    libc::F_SEAL_WRITE,
    libc::F_SEAL_FUTURE_WRITE,
    libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL,
];

fn run(cx: &mut Ctx) -> Outcome {
    let len = 2 * page_size();
    let mut files = Vec::new();
    for seals in SETS {
        let file = helpers::memfd(c"sealed", libc::MFD_ALLOW_SEALING)?;
        fd::write_all(&file, &pattern::bytes(len, cx.seed))?;
        helpers::seal(&file, seals)?;
        files.push((seals, file));
    }
    let mut modes = vec![(None, helpers::memfd(c"by default", 0)?)];
    for (flag, seals) in [(MFD_NOEXEC_SEAL, F_SEAL_EXEC), (MFD_EXEC, libc::F_SEAL_SEAL)] {
        match helpers::memfd(c"executable or not", flag) {
            Err(err) if sys::errno_in(&err) == Some(libc::EINVAL) => {}
            file => modes.push((Some(seals), file?)),
        }
    }
    // Sealed executable: it cannot be changed any more either.
    let program = helpers::memfd(c"program", libc::MFD_ALLOW_SEALING)?;
    if helpers::seal(&program, F_SEAL_EXEC).is_ok() {
        let seals = helpers::seals(&program)?;
        modes.push((Some(seals), program));
    }
    // Mapped before it was sealed, and still written.
    let file = helpers::memfd(c"written by one", libc::MFD_ALLOW_SEALING)?;
    fd::write_all(&file, &pattern::bytes(len, cx.seed + 1))?;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let mut mapped = Mapping::new(len, access, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    helpers::seal(&file, libc::F_SEAL_FUTURE_WRITE)?;
    let seen = Mapping::new(len, libc::PROT_READ, libc::MAP_SHARED, Some((file.as_fd(), 0)))?;
    let own = Mapping::new(len, access, libc::MAP_PRIVATE, Some((file.as_fd(), 0)))?;
    let before: Vec<_> =
        modes.iter().map(|(_, file)| helpers::facts(file, false)).collect::<Result<_, _>>()?;

    cx.ready()?;

    for (seals, file) in &files {
        expect_eq("seals", helpers::seals(file)?, *seals)?;
        helpers::verify("contents", file, len, cx.seed)?;
        let closed = libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE;
        fd::seek(file, 0, libc::SEEK_SET)?;
        expect_eq(
            &format!("may be written, {seals:#x}"),
            fd::write_all(file, b"x").is_ok(),
            seals & closed == 0,
        )?;
        let grown = nix::unistd::ftruncate(file.as_fd(), len as i64 + 1).is_ok();
        expect_eq(&format!("may grow, {seals:#x}"), grown, seals & libc::F_SEAL_GROW == 0)?;
        let cut = nix::unistd::ftruncate(file.as_fd(), 1).is_ok();
        expect_eq(&format!("may shrink, {seals:#x}"), cut, seals & libc::F_SEAL_SHRINK == 0)?;
    }
    for ((seals, file), facts) in modes.iter().zip(before) {
        expect_eq("size, mode, owner, links", helpers::facts(file, false)?, facts)?;
        if let Some(seals) = seals {
            expect_eq("seals", helpers::seals(file)?, *seals)?;
        }
    }
    expect_eq("seals of the mapped one", helpers::seals(&file)?, libc::F_SEAL_FUTURE_WRITE)?;
    expect(fd::write_all(&file, b"x").is_err(), || "it was written through the descriptor".into())?;
    pattern::verify("mapping", mapped.bytes(), cx.seed + 1)?;
    pattern::verify("private mapping", own.bytes(), cx.seed + 1)?;
    mapped.bytes_mut()[5] ^= 0xff;
    expect_eq("written through the mapping", seen.bytes()[5], mapped.bytes()[5])?;
    let protect = seen.protect(0, 2, access);
    expect_eq("made writable", fd::errno("mprotect", protect)?, libc::EACCES)
}
