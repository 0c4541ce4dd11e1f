//! Signals with a siginfo set by the sender, every byte of it.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "all the bytes of siginfo that the kernel keeps, with codes that it does not know",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let me = sys::getpid();
    let all = [libc::SIGUSR1, 50, 51];
    signal::block(&all)?;
    let mut want = Vec::new();
    for (index, (number, code)) in
        [(libc::SIGUSR1, -40), (50, -40), (50, -7), (51, i32::MIN)].into_iter().enumerate()
    {
        let mut info = signal::Info([0; 128]);
        pattern::fill(&mut info.0[..signal::INFO_KEPT], cx.seed + index as u64);
        info.0[..4].copy_from_slice(&number.to_ne_bytes());
        info.0[8..12].copy_from_slice(&i32::to_ne_bytes(code));
        // SAFETY: the kernel reads one siginfo, which is 128 bytes.
        sys::check("rt_sigqueueinfo", unsafe {
            libc::syscall(libc::SYS_rt_sigqueueinfo, me, number, info.0.as_ptr())
        })?;
        want.push(info);
    }

    cx.ready()?;

    for expected in want {
        let got = signal::take(&all)?.context("nothing is pending any more")?;
        expect_bytes(&format!("siginfo of signal {}", expected.signal()), &got.0, &expected.0)?;
    }
    Ok(())
}
