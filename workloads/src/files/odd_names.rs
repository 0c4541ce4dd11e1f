//! Names with spaces, newlines, backslashes, bytes that are not UTF-8, and one of 255 bytes; open
//! and mapped.

use super::helpers;
use crate::framework::prelude::*;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _};
use std::path::Path;

pub const WORKLOAD: Workload = Workload {
    purpose: "files open and mapped under names that are hard to parse",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let long = "l".repeat(255);
    let names: [&[u8]; 9] = [
        b"with space",
        b"with\nnewline",
        b"back\\slash\\012",
        "h\u{f6}hlenb\u{e4}r \u{1f43b}".as_bytes(),
        b"\xff\xfe no utf-8",
        b" (deleted)",
        b"7f0000000000-7f0000001000 r--p 00000000 00:00 0",
        b"\t\x01\x7f",
        long.as_bytes(),
    ];
    let mut files = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let path = Path::new(OsStr::from_bytes(name));
        let file = fd::open(path, helpers::MAKE, 0o600)?;
        fd::write_all(&file, &pattern::bytes(page_size(), cx.seed + index as u64))?;
        let at = Some((file.as_fd(), 0));
        files.push((Mapping::new(page_size(), libc::PROT_READ, libc::MAP_PRIVATE, at)?, file, path));
    }

    cx.ready()?;

    for (index, (mapping, file, path)) in files.iter().enumerate() {
        let what = format!("file {path:?}");
        helpers::verify(&what, file, page_size(), cx.seed + index as u64)?;
        expect_eq(&format!("{what}: offset"), fd::offset(file)?, page_size() as i64)?;
        pattern::verify(&format!("{what}, mapped"), mapping.bytes(), cx.seed + index as u64)?;
        let shown = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).context("readlink")?;
        expect_eq("name", shown, cx.dir.join(path))?;
        let inode = std::fs::metadata(path).with_context(|| what.clone())?.ino();
        expect_eq(&format!("{what}: inode by name"), inode, fd::stat(file)?.st_ino)?;
        expect_eq(&format!("{what}: inode mapped"), procfs::vma_at(mapping.start())?.inode, inode)?;
    }
    Ok(())
}
