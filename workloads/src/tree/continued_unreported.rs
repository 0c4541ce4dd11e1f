//! Children were stopped and continued. The parent has not waited yet for one of them to continue,
//! for another it has.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "that a child goes on is told by waitid with WCONTINUED once, and just once",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const NEWS: i32 = libc::WCONTINUED | libc::WSTOPPED | libc::WNOHANG;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    signal::block(&[libc::SIGCHLD])?;
    let mut children = Vec::new();
    for name in ["the child with news", "the child without"] {
        children.push(stage.fork(name, |stage| {
            stage.hold();
            Ok(())
        })?);
    }
    for child in &children {
        child.kill(libc::SIGSTOP)?;
        let stopped = helpers::waitid(libc::P_PID, child.pid, libc::WSTOPPED)?;
        expect_eq("stop", stopped, Some((libc::CLD_STOPPED, libc::SIGSTOP, child.pid)))?;
        // Each of the two signals is taken before the next is sent, which would be dropped.
        let told = signal::take_soon(&[libc::SIGCHLD])?;
        expect_eq("stop told", (told.code(), told.pid()), (libc::CLD_STOPPED, child.pid))?;
        child.kill(libc::SIGCONT)?;
        let told = signal::take_soon(&[libc::SIGCHLD])?;
        expect_eq("going on told", (told.code(), told.pid()), (libc::CLD_CONTINUED, child.pid))?;
        stage.wait_held(child)?;
    }
    let news = |child: &Child| helpers::waitid(libc::P_PID, child.pid, NEWS);
    let continued = |child: &Child| Some((libc::CLD_CONTINUED, libc::SIGCONT, child.pid));
    expect_eq("news before", news(&children[1])?, continued(&children[1]))?;
    let looked = helpers::waitid(libc::P_PID, children[0].pid, NEWS | libc::WNOWAIT)?;
    expect_eq("news that are left", looked, continued(&children[0]))?;

    cx.ready()?;

    expect_eq("signal from a child", signal::take(&[libc::SIGCHLD])?.map(|info| info.code()), None)?;
    expect_eq("news", news(&children[0])?, continued(&children[0]))?;
    expect_eq("news, again", news(&children[0])?, None)?;
    expect_eq("news that were told before", news(&children[1])?, None)?;
    stage.release();
    children.into_iter().try_for_each(Child::join)
}
