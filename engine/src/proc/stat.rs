//! The first fields of /proc/PID/stat (proc_pid_stat(5)), for scans of many processes.

use super::read_short;

/// The basic attributes of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its PID.
    pub pid: i32,
    /// Its name, as in its file `comm` (fs/proc/array.c, `do_task_stat`).
    pub comm: Vec<u8>,
    /// `R`, `S`, `Z` …
    pub state: char,
    /// PID of the parent.
    pub ppid: i32,
    /// Its process group.
    pub pgrp: i32,
    /// Its session.
    pub session: i32,
    /// `PF_*`
    pub flags: u32,
}

impl Brief {
    /// Reads a thread's own file: that of its process sums up all threads (fs/proc/array.c,
    /// `do_task_stat`). `None` when it has exited.
    pub fn of_thread(pid: i32, tid: i32) -> Option<Self> {
        Self::parse(&read_short(&format!("/proc/{pid}/task/{tid}/stat")).ok()?)
    }

    /// Parses the text; `None` for an unknown format.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
        let comm = text.get(open + 1..close)?.to_vec();
        let mut words = std::str::from_utf8(text.get(close + 1..)?).ok()?.split_ascii_whitespace();
        let state = words.next()?.chars().next()?;
        let mut number = || words.next()?.parse().ok();
        let (ppid, pgrp, session) = (number()?, number()?, number()?);
        // Skip terminal and its foreground process group.
        let flags = words.nth(2)?.parse().ok()?;
        Some(Brief { pid, comm, state, ppid, pgrp, session, flags })
    }

    /// Whether it is a thread that the kernel has made in a process for work of its own.
    pub fn is_worker(&self) -> bool {
        const PF_IO_WORKER: u32 = 0x10; // include/linux/sched.h, since Linux 5.12
        const PF_USER_WORKER: u32 = 0x4000; // since Linux 6.4
        self.flags & (PF_IO_WORKER | PF_USER_WORKER) != 0
    }

    /// Whether it is a kernel thread.
    pub fn is_kernel_thread(&self) -> bool {
        const PF_KTHREAD: u32 = 0x0020_0000; // include/linux/sched.h
        self.flags & PF_KTHREAD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = b"17 (a) b (c) S 1 16 15 0 -1 4194560 100 0 0 0\n";
        let want = Brief {
            pid: 17,
            comm: b"a) b (c".to_vec(),
            state: 'S',
            ppid: 1,
            pgrp: 16,
            session: 15,
            flags: 4_194_560,
        };
        assert_eq!(Brief::parse(text), Some(want));
        assert_eq!(Brief::parse(b""), None);
        assert_eq!(Brief::parse(b"17 (a"), None);
    }
}
