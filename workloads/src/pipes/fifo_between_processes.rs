//! Two processes have each opened a named pipe by its name; a third is blocked in open(2) until the
//! other end is opened.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a FIFO with its ends in two processes, and one blocked in opening another",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo("between", mode)?;
    nix::unistd::mkfifo("waiting", mode)?;
    let receiver = fork("the receiver", || {
        let reader = fd::open("between", libc::O_RDONLY, 0)?;
        stage.shared().cell(1).set(1);
        stage.hold();
        pattern::verify("before", &fd::read_all(&reader, 900)?, cx.seed)?;
        pattern::verify("after", &fd::read_all(&reader, 90_000)?, cx.seed + 1)?;
        expect_bytes("end of file", &fd::read_some(&reader, 1)?, b"")
    })?;
    let sender = fork("the sender", || {
        let writer = fd::open("between", libc::O_WRONLY, 0)?;
        fd::write_all(&writer, &pattern::bytes(900, cx.seed))?;
        stage.shared().cell(2).set(1);
        stage.hold();
        fd::write_all(&writer, &pattern::bytes(90_000, cx.seed + 1))
    })?;
    let opener = fork("the process in open", || {
        let reader = fd::open("waiting", libc::O_RDONLY, 0)?;
        expect_bytes("what came", &fd::read_to_end(&reader)?, b"at last")
    })?;
    for (word, child) in [(1, &receiver), (2, &sender)] {
        stage.shared().cell(word).wait(child.name, 1)?;
        stage.wait_held(child)?;
    }
    stage.wait_in(&opener, libc::SYS_openat)?;

    cx.ready()?;

    stage.release();
    fd::write_all(&fd::open("waiting", libc::O_WRONLY, 0)?, b"at last")?;
    [receiver, sender, opener].into_iter().try_for_each(Child::join)
}
