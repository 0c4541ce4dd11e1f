//! Every resource limit lowered, soft and hard, and some soft limits above what they were.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "all sixteen resource limits, soft and hard",
    needs: &[],
    active: false,
    statik: true,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let all = || (0..16).map(sys::rlimit).collect::<anyhow::Result<Vec<_>>>();
    let untouched = all()?;
    let child = stage.fork("the limited process", |stage| {
        let wanted = [
            (libc::RLIMIT_CPU, 50_000, 60_000),
            (libc::RLIMIT_FSIZE, 1 << 40, 1 << 41),
            (libc::RLIMIT_DATA, 1 << 44, 1 << 45),
            (libc::RLIMIT_STACK, 3 << 20, 1 << 30),
            (libc::RLIMIT_CORE, 0, 0),
            (libc::RLIMIT_RSS, 1 << 30, libc::RLIM_INFINITY),
            (libc::RLIMIT_NPROC, 5000, 6000),
            (libc::RLIMIT_NOFILE, 200, 300),
            (libc::RLIMIT_MEMLOCK, 4096, 8192),
            (libc::RLIMIT_AS, 1 << 46, 1 << 46),
            (libc::RLIMIT_LOCKS, 7, 8),
            (libc::RLIMIT_SIGPENDING, 100, 101),
            (libc::RLIMIT_MSGQUEUE, 10_000, 20_000),
            (libc::RLIMIT_NICE, 0, 0),
            (libc::RLIMIT_RTPRIO, 0, 0),
            (libc::RLIMIT_RTTIME, 1_000_000, 2_000_000),
        ];
        for (resource, soft, hard) in wanted {
            let most = sys::rlimit(resource)?.1;
            let limit = libc::rlimit { rlim_cur: most.min(soft), rlim_max: most.min(hard) };
            // SAFETY: the kernel reads the struct.
            sys::check("setrlimit", unsafe { libc::setrlimit(resource, &limit) })
                .with_context(|| format!("resource {resource}"))?;
        }
        let want = all()?;
        stage.hold();
        expect_eq("limits", all()?, want)
    })?;

    cx.ready()?;

    expect_eq("limits of the root", all()?, untouched)?;
    stage.release();
    child.join()
}
