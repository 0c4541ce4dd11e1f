//! What a checkpoint cannot part: things that processes share across the border, or with each other in ways that are not rebuilt.

use super::freeze::Task;
use crate::arch;
use crate::error::{Context, Problems, Result};
use crate::resource::thread::status;
use crate::sys::kcmp::{Kind, kcmp};
use std::cmp::Ordering;

const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Reasons to refuse these processes, apart from what they have open or mapped.
///
/// # Errors
/// *vanished*, or no kcmp(2).
pub fn problems(tasks: &[Task]) -> Result<Problems> {
    let mut problems = Problems::default();
    let alive: Vec<&Task> = tasks.iter().filter(|t| !t.threads.is_empty()).collect();
    for task in &alive {
        let pid = task.pid;
        for thread in &task.threads {
            let tid = thread.tid();
            if !thread.regs().is_native() {
                problems.push(format!("pid {pid}: thread {tid} runs 32-bit code"));
            }
            if thread.regs().in_transaction() {
                problems.push(format!("pid {pid}: thread {tid} is in a memory transaction"));
            }
            for (note, what) in arch::REFUSED_SETS {
                if thread.register_set(*note)?.is_some() {
                    problems.push(format!("pid {pid}: thread {tid} {what}"));
                }
            }
            let status = status(pid, tid)?;
            if tasks.iter().any(|task| task.pid == status.tracerpid) {
                problems.push(format!(
                    "pid {pid}: thread {tid} is traced by process {}, which is to be saved, too",
                    status.tracerpid
                ));
            }
            if status.seccomp.unwrap_or(0) != 0 {
                problems.push(format!("pid {pid}: thread {tid} has a seccomp filter"));
            }
            if tid != pid {
                for (kind, what) in
                    [(Kind::Files, "descriptor table"), (Kind::Fs, "working directory and umask")]
                {
                    if compare(pid, tid, kind)? != Ordering::Equal {
                        problems.push(format!("pid {pid}: thread {tid} has a {what} of its own"));
                    }
                }
            }
        }
        for name in NAMESPACES {
            let link = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/{name}"));
            // A namespace that this kernel does not have is missing on both sides.
            if link(&pid.to_string()).ok() != link("self").ok() {
                problems.push(format!("pid {pid}: in another {name} namespace than cairn"));
            }
        }
    }
    for (kind, what) in [
        (Kind::Vm, "their memory"),
        (Kind::Files, "their descriptor table"),
        (Kind::Fs, "their working directory and umask"),
        (Kind::Sighand, "their signal actions"),
    ] {
        // Sorted by the kernel's own order, so that many processes stay cheap.
        let mut sorted: Vec<i32> = Vec::with_capacity(alive.len());
        for task in &alive {
            let (mut low, mut high) = (0, sorted.len());
            while low < high {
                let middle = low.midpoint(high);
                match compare(sorted[middle], task.pid, kind)? {
                    Ordering::Less => low = middle + 1,
                    Ordering::Greater => high = middle,
                    Ordering::Equal => {
                        problems.push(format!("pids {} and {} share {what}", sorted[middle], task.pid));
                        break;
                    }
                }
            }
            sorted.insert(low, task.pid);
        }
    }
    Ok(problems)
}

fn compare(a: i32, b: i32, kind: Kind) -> Result<Ordering> {
    kcmp(a, b, kind, 0, 0).context(|| format!("compare {a} and {b} (needs CONFIG_KCMP)"))
}
