//! A process that uses more than its limits allow, because they were lowered afterwards.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "limits of files, memory, locked memory and file size below what is in use",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let file = fd::open("file", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    fd::write_all(&file, &pattern::bytes(5000, cx.seed))?;
    let limits = [
        (libc::RLIMIT_NOFILE, 20),
        (libc::RLIMIT_AS, 1 << 20),
        (libc::RLIMIT_DATA, 1 << 12),
        (libc::RLIMIT_FSIZE, 1000),
        (libc::RLIMIT_MEMLOCK, 0),
        (libc::RLIMIT_NPROC, 0),
        (libc::RLIMIT_SIGPENDING, 0),
    ];
    let child = stage.fork("the process beyond its limits", |stage| {
        let high = fd::dup_to(&file, 150, 0)?;
        let unlinked = fd::open("unlinked", libc::O_RDWR | libc::O_CREAT, 0o600)?;
        fd::write_all(&unlinked, &pattern::bytes(3000, cx.seed + 2))?;
        std::fs::remove_file("unlinked").context("unlink")?;
        let mut memory = Mapping::private(4 << 20)?;
        pattern::fill(memory.bytes_mut(), cx.seed + 1);
        let locked = Mapping::private(16 * page_size())?;
        // SAFETY: the range is the mapping's.
        sys::check("mlock", unsafe { libc::mlock(locked.ptr().cast(), locked.len()) })?;
        let locked_size = procfs::status(sys::getpid(), "VmLck")?;
        // The heap cannot grow afterwards: keep room in it for the checks.
        drop(std::hint::black_box(vec![1u8; 100_000]));
        signal::block(&[44])?;
        for value in 0..5 {
            signal::queue(sys::getpid(), 44, value)?;
        }
        for (resource, soft) in limits {
            let limit = libc::rlimit { rlim_cur: soft, rlim_max: sys::rlimit(resource)?.1 };
            // SAFETY: the kernel reads the struct.
            sys::check("setrlimit", unsafe { libc::setrlimit(resource, &limit) })
                .with_context(|| format!("resource {resource}"))?;
        }
        let want =
            limits.iter().map(|(resource, _)| sys::rlimit(*resource)).collect::<anyhow::Result<Vec<_>>>()?;
        stage.hold();
        let now =
            limits.iter().map(|(resource, _)| sys::rlimit(*resource)).collect::<anyhow::Result<Vec<_>>>()?;
        expect_eq("limits", now, want)?;
        expect_eq("locked memory", procfs::status(sys::getpid(), "VmLck")?, locked_size)?;
        pattern::verify("memory", memory.bytes(), cx.seed + 1)?;
        pattern::verify("high descriptor", &fd::read_at(&high, 5000, 0)?, cx.seed)?;
        pattern::verify("unlinked file", &fd::read_at(&unlinked, 3000, 0)?, cx.seed + 2)?;
        for value in 0..5 {
            let info =
                signal::take(&[44])?.with_context(|| format!("only {value} of 5 signals are pending"))?;
            expect_eq("value", info.value(), value)?;
        }
        let beyond = fd::errno("dup3", fd::dup_to(&high, 151, 0))?;
        expect_eq("errno of another high descriptor", beyond, libc::EBADF)
    })?;

    cx.ready()?;

    stage.release();
    child.join()
}
