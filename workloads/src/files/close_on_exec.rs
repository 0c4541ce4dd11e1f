//! Some descriptors are closed on exec and some are not, also among duplicates of one file.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "close-on-exec per descriptor, and what an executed program finds",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let file = helpers::make("file", 10, cx.seed)?;
    let mut held = Vec::new();
    for number in 20..40 {
        let flags = if number % 3 == 0 { libc::O_CLOEXEC } else { 0 };
        held.push(fd::dup_to(&file, number, flags)?);
    }
    fd::fcntl(&held[0], libc::F_SETFD, libc::FD_CLOEXEC)?;
    fd::fcntl(&held[1], libc::F_SETFD, 0)?;
    fd::fcntl(&file, libc::F_SETFD, libc::FD_CLOEXEC)?;
    let survivors: Vec<i32> =
        (0..1100).filter(|n| fd::is_open(*n) && !fd::cloexec(n).is_ok_and(|closed| closed)).collect();
    expect(survivors.contains(&21) && !survivors.contains(&20), || format!("survivors: {survivors:?}"))?;

    cx.ready()?;

    let names: Vec<String> = survivors.iter().map(i32::to_string).collect();
    let (path, argv) = helper::command("descriptors", &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    fork("an executed program", || Err(helper::exec(&path, &argv)))?.join()
}
