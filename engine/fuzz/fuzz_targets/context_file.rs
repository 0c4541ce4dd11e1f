//! Whole files: what reads them trusts nothing.
#![no_main]

use cairn::image::Reader;
use cairn::resource::Records;
use libfuzzer_sys::fuzz_target;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

fuzz_target!(|bytes: &[u8]| {
    let memory = rustix::fs::memfd_create("context", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
    let mut file = File::from(memory);
    file.write_all(bytes).expect("written");
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    // Either is right, at every step.
    if let Ok(reader) = Reader::open(&link) {
        let _ = reader.records::<Records>();
        let _ = reader.verify_pages(1, &|_| {});
    }
});
