//! The PIDs that a restart needs: free, or used by what. A number is in use as long as a process, a
//! thread, a process group or a session has it (kernel/pid.c, `free_pid`).

use crate::error::{Context, Error, Result};
use crate::proc::stat::Brief;
use crate::proc::status;
use crate::resource::Records;
use crate::sys;
use crate::tree::freeze::read_stat;
use crate::tree::outside;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Advice for a number that is in use by something that will not go away by itself.
const WAY_OUT: &str = "end it, wait until it exits, or restart in a new PID namespace (--new-pidns)";

/// Below this every kernel has all numbers, unless told otherwise (`PID_MAX_DEFAULT`).
const ANYWHERE: i32 = 32768;

/// How often a zombie is polled: there is no notification that it has been reaped.
const TICK: Duration = Duration::from_millis(10);

/// The user of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum User {
    /// An unreaped zombie: the process of that number, or the last member of its group or session.
    Zombie { pid: i32, parent: i32 },
    /// Anything else, described in words.
    Lasting(String),
}

/// All numbers needed: of processes and threads, and of the groups and sessions to recreate.
fn needed(records: &Records) -> BTreeSet<i32> {
    let tids = records.alive().flat_map(|(_, alive)| alive.threads.iter().map(|thread| thread.tid));
    let of_processes = records.processes.iter().flat_map(|p| [p.pid, p.pgid, p.sid]);
    tids.chain(of_processes).filter(|number| *number != 0).collect()
}

/// Waits until all numbers are free: those held by zombies for up to `patience`, which is reported
/// through `tell`.
///
/// # Errors
/// *conflict*: the number, its user and what to do.
pub fn await_free(records: &Records, patience: Duration, tell: &dyn Fn(&str)) -> Result<()> {
    let deadline = Instant::now() + patience;
    let sessions = outside::sessions();
    let needed = needed(records);
    refuse_too_high(&needed, most())?;
    for number in needed {
        let mut told = false;
        loop {
            match user(number, &sessions)? {
                None => break,
                Some(User::Lasting(whose)) => {
                    return Err(Error::Conflict(format!("pid {number} is in use: {whose}; {WAY_OUT}")));
                }
                Some(User::Zombie { pid, parent }) => {
                    let name = name_of(parent);
                    let who = match pid == number {
                        true => "the process".to_owned(),
                        false => format!("process {pid} of its group or session"),
                    };
                    let whose = format!("{who} is a zombie not yet reaped by {parent}{name}");
                    if Instant::now() >= deadline {
                        return Err(Error::Conflict(format!("pid {number} is in use: {whose}")));
                    }
                    if !std::mem::replace(&mut told, true) {
                        tell(&format!("pid {number}: {whose}; waiting"));
                    }
                    std::thread::sleep(TICK);
                }
            }
        }
    }
    Ok(())
}

/// The kernel creates no process of a number from `most` on.
fn refuse_too_high(needed: &BTreeSet<i32>, most: i32) -> Result<()> {
    match needed.last() {
        Some(number) if *number >= most => Err(Error::Conflict(format!(
            "pid {number} is above the highest here (kernel.pid_max = {most}); raise that by sysctl(8), or restart in a new PID namespace (--new-pidns)"
        ))),
        _ => Ok(()),
    }
}

/// Has the kernel number what we start from now on apart from what the job needs: threads of ours,
/// and processes, of which some take a moment to be gone. For the init of a new PID namespace,
/// where numbers begin at 1.
///
/// # Errors
/// *conflict*: the job needs the number of its init; EPERM without CAP_CHECKPOINT_RESTORE; ENOENT
/// without `CONFIG_CHECKPOINT_RESTORE`.
pub fn keep_away(records: &Records) -> Result<()> {
    let needed = needed(records);
    if needed.contains(&1) {
        return Err(Error::Conflict(
            "pid 1 is in use: in a new PID namespace, it is cairn's own, and the job had it in the one that it was saved in; a job without the init of that one can be saved and restarted".into(),
        ));
    }
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    // Ours may become the job's: the session of a job without one of its own.
    let (last, _) = widest_gap(&needed, most().min(ANYWHERE));
    std::fs::write(LAST, last.to_string()).context(|| format!("write {last} to {LAST}"))
}

/// The two ends, taken themselves, of the widest range of numbers below `most` that are not needed.
fn widest_gap(needed: &BTreeSet<i32>, most: i32) -> (i32, i32) {
    // The kernel begins there again when it has used the last number (kernel/pid.c, RESERVED_PIDS).
    const FIRST: i32 = 300;
    let inside = needed.range(FIRST + 1..most).copied();
    let begins = std::iter::once(FIRST).chain(inside.clone());
    let gaps = begins.zip(inside.chain([most]));
    gaps.max_by_key(|(begin, end)| end - begin).expect("there is one")
}

/// One more than the highest number.
fn most() -> i32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    text.trim().parse().unwrap_or(ANYWHERE)
}

fn name_of(pid: i32) -> String {
    match read_stat(pid) {
        Ok(Some(stat)) => format!(" ({})", stat.comm),
        _ => String::new(),
    }
}

/// The user of a number. `sessions` may be out of date: what it lacks was no session then, what it
/// contains is checked again.
fn user(number: i32, sessions: &BTreeSet<i32>) -> Result<Option<User>> {
    if let Some(stat) = read_stat(number)? {
        // /proc/TID exists for threads, too.
        let process = status::of_thread(number, number).map_or(number, |status| status.tgid);
        return Ok(Some(if process != number {
            User::Lasting(format!("it is a thread of process {process}{}", name_of(process)))
        } else if outside::living_thread(number, stat.state).is_none() {
            User::Zombie { pid: number, parent: stat.ppid }
        } else {
            User::Lasting(format!(
                "it is the process {}, a child of {}{}",
                stat.comm,
                stat.ppid,
                name_of(stat.ppid)
            ))
        }));
    }
    let is_group = sys::guard::group_exists(number);
    if !is_group && !sessions.contains(&number) {
        return Ok(None);
    }
    let members = outside::members(number);
    let is_dead = |member: &Brief| outside::living_thread(member.pid, member.state).is_none();
    let all_dead = members.iter().all(is_dead);
    Ok(match (all_dead, members.first()) {
        (true, Some(last)) => Some(User::Zombie { pid: last.pid, parent: last.ppid }),
        // A member that /proc hides from us still keeps its group.
        (true, None) if !sys::guard::group_exists(number) => None,
        _ if is_group => Some(User::Lasting("it is a process group that still has members".into())),
        _ => Some(User::Lasting("it is a session that still has members".into())),
    })
}

/// A number that is free now and not in the records, if possible one that every kernel has: it may
/// become the job's. Taken from the upper half of those, where each restart starts its search
/// elsewhere so that two concurrent ones do not pick the same.
///
/// # Errors
/// *conflict* when no number is free.
pub fn spare(records: &Records) -> Result<i32> {
    let needed = needed(records);
    let sessions = outside::sessions();
    let (most, highest) = (most().min(ANYWHERE), most());
    /// Spreads the start of the search for PIDs that are close together.
    const PRIME: u64 = 7919;
    let half = (most / 2).max(1);
    let first = most - 1 - (u64::from(std::process::id()) * PRIME % half as u64) as i32;
    let all = (2..=first).rev().chain((first + 1..most).rev()).chain(most..highest);
    let mut free = all.filter(|number| !needed.contains(number));
    free.find(|number| matches!(user(*number, &sessions), Ok(None)))
        .ok_or_else(|| Error::Conflict("no free PID for the process that starts a session".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_the_kernel_does_not_have_is_a_conflict() {
        let needed = BTreeSet::from([2, 4_186_384]);
        assert!(refuse_too_high(&needed, 4_194_304).is_ok());
        let err = refuse_too_high(&needed, 32768).unwrap_err();
        assert_eq!(err.exit_code(), 7);
        assert!(err.to_string().contains("pid 4186384 is above the highest here"), "{err}");
    }

    #[test]
    fn the_widest_gap_is_found() {
        let gap = |needed: &[i32]| widest_gap(&needed.iter().copied().collect(), 1000);
        assert_eq!(gap(&[]), (300, 1000));
        assert_eq!(gap(&[2, 300, 999]), (300, 999));
        assert_eq!(gap(&[400, 401]), (401, 1000));
        assert_eq!(gap(&[350, 900, 2000]), (350, 900));
    }

    #[test]
    fn a_process_a_thread_and_a_free_number_are_told_apart() {
        let sessions = BTreeSet::new();
        let own = std::process::id() as i32;
        let told = |number| match user(number, &sessions).unwrap() {
            Some(User::Lasting(whose)) => whose,
            other => panic!("{other:?}"),
        };
        assert!(told(own).starts_with("it is the process "), "{}", told(own));
        std::thread::spawn(move || {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            let whose = match user(tid, &BTreeSet::new()).unwrap() {
                Some(User::Lasting(whose)) => whose,
                other => panic!("{other:?}"),
            };
            assert!(whose.starts_with(&format!("it is a thread of process {own}")), "{whose}");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_group_of_the_dead_is_waited_for() {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        use std::os::unix::process::CommandExt;
        let start = |group: i32| std::process::Command::new("true").process_group(group).spawn().unwrap();
        let mut leader = start(0);
        let number = leader.id() as i32;
        let mut member = start(number);
        let pid = member.id() as i32;
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_raw(pid).unwrap()), ended).unwrap();
        leader.wait().unwrap();
        // The list of sessions may be arbitrarily old.
        let sessions = BTreeSet::from([number]);
        let parent = std::process::id() as i32;
        assert_eq!(user(number, &sessions).unwrap(), Some(User::Zombie { pid, parent }));
        member.wait().unwrap();
        assert_eq!(user(number, &sessions).unwrap(), None);
    }

    /// Starts a shell as session leader; returns it and the PID that it prints.
    fn started_by_a_shell(text: &str) -> (std::process::Child, i32) {
        use std::io::BufRead;
        let mut command = std::process::Command::new("setsid");
        command.args(["-w", "bash", "-c", text]).stdout(std::process::Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let mut line = String::new();
        std::io::BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (shell, line.trim().parse().unwrap())
    }

    #[test]
    fn a_group_and_a_session_that_go_on_without_their_leader_are_in_use() {
        // With job control the member is in a group of its own.
        for (job_control, kind) in [("", "process group"), ("set -m;", "session")] {
            let text = format!("{job_control} sleep 600 > /dev/null & echo $!");
            let (mut leader, member) = started_by_a_shell(&text);
            let number = leader.id() as i32;
            leader.wait().unwrap();
            let told = user(number, &outside::sessions());
            let free = user(number, &BTreeSet::new());
            sys::guard::kill(member, libc::SIGKILL).unwrap();
            let whose = format!("it is a {kind} that still has members");
            assert_eq!(told.unwrap(), Some(User::Lasting(whose)));
            // Without the list of sessions only groups are found.
            assert_eq!(free.unwrap().is_some(), kind == "process group");
        }
    }
}
