//! A job as users start it, whose log is rotated.

use super::helpers::command;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a job under nohup, nice and timeout that writes a log",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut job = command("nohup")?;
    let text = "n=0; while [ ! -e stop ]; do echo $n >> log; n=$((n + 1)); [ $((n % 50)) = 0 ] && mv log log.1; done; exit 7";
    job.args(["nice", "-n", "5", "timeout", "600", "sh", "-c", text]);
    let null = std::process::Stdio::null;
    let mut job = job.stdin(null()).stdout(null()).stderr(null()).spawn().context("start it")?;
    let last = || -> u64 {
        let log = std::fs::read_to_string("log").unwrap_or_default();
        log.lines().last().and_then(|line| line.parse().ok()).unwrap_or(0)
    };
    let goes_on = |from: u64| sync::wait_until("the log to grow", || Ok(last() > from));
    goes_on(60)?;

    cx.ready()?;

    goes_on(last())?;
    std::fs::write("stop", "").context("stop it")?;
    let status = job.wait().context("wait for it")?;
    expect_eq("exit code", status.code(), Some(7))?;
    let logs = ["log.1", "log"].map(|log| std::fs::read_to_string(log).unwrap_or_default()).concat();
    let numbers: Vec<u64> = logs.lines().map(|line| line.parse().unwrap_or(u64::MAX)).collect();
    expect(numbers.is_sorted_by(|one, next| one + 1 == *next), || format!("the log has {numbers:?}"))
}
