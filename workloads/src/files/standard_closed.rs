//! A process without standard input, and one without any descriptor at all.

use super::helpers;
use crate::framework::prelude::*;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::Ordering::SeqCst;

pub const WORKLOAD: Workload = Workload {
    purpose: "closed standard descriptors stay closed, an empty descriptor table stays empty",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn close(numbers: std::ops::Range<i32>) {
    for number in numbers {
        // SAFETY: the process does not use these descriptors any more.
        unsafe { libc::close(number) };
    }
}

fn open() -> u64 {
    (0..64).filter(|n| fd::is_open(*n)).fold(0, |all, n| all | 1 << n)
}

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = helpers::make("file", 100, cx.seed)?;
    let none = stage.fork("the process without descriptors", |stage| {
        close(0..64);
        stage.hold();
        stage.shared().number(0).store(open(), SeqCst);
        Ok(())
    })?;
    let one = stage.fork("the process with a file for its input", |stage| {
        close(0..3);
        let input = fd::dup(&file)?;
        expect_eq("number", input.as_raw_fd(), 0)?;
        close(3..64);
        stage.hold();
        stage.shared().number(1).store(open(), SeqCst);
        pattern::verify("standard input", &fd::read_all(&input, 100)?, cx.seed)
    })?;
    close(0..1);

    cx.ready()?;

    expect(!fd::is_open(0), || "descriptor 0 is open".into())?;
    stage.release();
    none.join()?;
    one.join()?;
    let open = [0, 1].map(|index| stage.shared().number(index).load(SeqCst));
    expect_eq("open descriptors of the children", open, [0, 1])
}
