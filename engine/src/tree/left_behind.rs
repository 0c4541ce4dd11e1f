//! What a killed engine has left in the processes it was looking at: they run on, with a scratch
//! range mapped that nobody uses any more.

use super::freeze::{Frozen, Task, Waiting};
use super::scope::Scope;
use crate::arch;
use crate::error::{Context, Result};
use crate::proc::maps;
use crate::remote::scratch::{SCRATCH_SIZE, Scratch};
use crate::remote::{Code, Stopped};
use crate::sys::RemoteAddr;
use crate::sys::vm;
use std::time::Duration;

/// The longest delay before a thread that was still on its way out of a scratch range is looked at
/// again.
const LONGEST_NAP: Duration = Duration::from_millis(64);

/// Unmaps scratch ranges of an engine that was killed, once nobody is in them.
///
/// # Errors
/// As [`Frozen::freeze`]; the processes run on all the same.
pub fn remove(scope: Scope, waiting: &Waiting<'_>) -> Result<()> {
    let mut nap = Duration::from_millis(1);
    loop {
        let mut frozen = Frozen::freeze(scope, None, waiting)?;
        // Where all threads are: several processes may have the same memory.
        let traced = frozen.tasks.iter().flat_map(|task| &task.threads).filter_map(|thread| match thread {
            Stopped::Traced(thread) => Some([thread.regs.ip(), thread.regs.sp()]),
            Stopped::ModuleThread(_) => None,
        });
        let places: Vec<u64> = traced.flatten().collect();
        let tasks = frozen.tasks.iter_mut();
        let free =
            tasks.map(|task| unmap(task, &places)).try_fold(true, |all, free| free.map(|free| all && free));
        frozen.thaw()?;
        if free? || nap > LONGEST_NAP {
            return Ok(());
        }
        std::thread::sleep(nap);
        nap *= 2;
    }
}

/// Unmaps those of one process that no thread is in, which are at `places`; false if there is one.
fn unmap(task: &mut Task, places: &[u64]) -> Result<bool> {
    let Some(Stopped::Traced(leader)) = task.threads.first() else { return Ok(true) };
    let sp = leader.regs.sp();
    let ranges = ranges(leader.tid)?;
    if ranges.is_empty() {
        return Ok(true);
    }
    let runs_in = |base: &u64| {
        let range = *base..*base + SCRATCH_SIZE;
        places.iter().any(|at| range.contains(at))
    };
    let (busy, free): (Vec<u64>, Vec<u64>) = ranges.into_iter().partition(runs_in);
    let code = Code::find_with_way_back(leader.tid, sp)?;
    let Some(Stopped::Traced(leader)) = task.threads.first_mut() else { return Ok(true) };
    free.into_iter().try_for_each(|base| Scratch::at(RemoteAddr(base), code).unmap(leader))?;
    Ok(busy.is_empty())
}

/// Where scratch ranges begin: in executable memory without a file that holds the stub.
fn ranges(pid: i32) -> Result<Vec<u64>> {
    let text = std::fs::read(format!("/proc/{pid}/maps")).context(|| format!("read /proc/{pid}/maps"))?;
    let stub = arch::stub();
    let mut bytes = vec![0; stub.len()];
    let mut found = Vec::new();
    let all: Vec<_> = maps::parse(&text).collect();
    for mapping in &all {
        if !mapping.exec || !mapping.read || mapping.shared || !mapping.printed.is_empty() {
            continue;
        }
        // Adjacent ranges are one mapping. One whose stub alone may be executed goes on in the
        // next.
        for base in (mapping.start..mapping.end).step_by(SCRATCH_SIZE as usize) {
            let whole = base + SCRATCH_SIZE;
            let inside = |at: u64| {
                all.iter().any(|other| (other.start..other.end).contains(&at) && other.printed.is_empty())
            };
            let is_there = inside(whole - 1)
                && vm::read(pid, RemoteAddr(base), &mut bytes).is_ok_and(|()| bytes == stub);
            found.extend(is_there.then_some(base));
        }
    }
    Ok(found)
}
