//! fio copies with io_uring, and verifies what it reads.

use super::helpers::{command, exits};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "fio with io_uring that writes and verifies",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut fio = command("fio")?;
    fio.args([
        "--name=copy",
        "--ioengine=io_uring",
        "--filename=data",
        "--size=4m",
        "--bs=4k",
        "--iodepth=8",
        "--rw=randrw",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--time_based",
        "--runtime=2",
        "--output=report",
    ]);
    let mut fio = fio.stdin(std::process::Stdio::null()).spawn().context("start fio")?;
    sync::wait_until("its file", || Ok(std::fs::metadata("data").is_ok_and(|data| data.len() >= 4 << 20)))?;

    cx.ready()?;

    exits(&mut fio)?;
    let report = std::fs::read_to_string("report").context("read the report")?;
    expect(report.contains("err= 0"), || format!("it reports {report}"))
}
