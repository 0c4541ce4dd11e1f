//! The small devices: null, zero, full, random and urandom.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "descriptors of /dev/null, zero, full, random and urandom",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let open = |name: &str| fd::open(format!("/dev/{name}"), libc::O_RDWR, 0);
    let [null, zero, full, urandom] = [open("null")?, open("zero")?, open("full")?, open("urandom")?];
    let random = fd::open("/dev/random", libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    let all = || [&null, &zero, &full, &urandom, &random].map(|f| fd::stat(f).map(|s| s.st_rdev).ok());
    let want = all();

    cx.ready()?;

    expect_eq("devices", all(), want)?;
    expect_eq("flags of random", fd::flags(&random)? & libc::O_NONBLOCK, libc::O_NONBLOCK)?;
    expect_eq("written to null", fd::write_some(&null, &[1; 5000])?, 5000usize)?;
    expect_bytes("read from null", &fd::read_some(&null, 10)?, b"")?;
    expect_bytes("read from zero", &fd::read_all(&zero, 5000)?, &[0; 5000])?;
    expect_eq("errno of full", fd::errno("write", fd::write_some(&full, b"x"))?, libc::ENOSPC)?;
    let (one, other) = (fd::read_all(&urandom, 32)?, fd::read_all(&urandom, 32)?);
    expect(one != other, || format!("urandom gave {one:02x?} twice"))
}
