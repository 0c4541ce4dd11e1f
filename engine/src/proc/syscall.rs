//! /proc/PID/task/TID/syscall: the system call in which a thread is blocked.

/// A system call in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// System call number.
    pub nr: i64,
    /// Arguments as passed by the caller.
    pub args: [u64; 6],
    /// The user stack pointer.
    pub sp: u64,
    /// The user instruction pointer.
    pub ip: u64,
}

/// Parses the line (proc_pid_syscall(5)); `None` for a thread that is running or blocked outside of
/// a system call.
pub fn parse(line: &str) -> Option<Blocked> {
    let mut words = line.split_ascii_whitespace();
    let nr = words.next()?.parse().ok().filter(|nr| *nr >= 0)?;
    let mut next = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = next()?;
    }
    Some(Blocked { nr, args, sp: next()?, ip: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::runs("running\n", None)]
    #[case::elsewhere("-1 0x7ffd0 0x401000\n", None)]
    #[case::cut("137 0x1 0x2\n", None)]
    #[case::blocked(
        "137 0xffffd4 0x0 0x0 0x8 0x5 0x6 0xffffd000 0xffff8010\n",
        Some(Blocked { nr: 137, args: [0xffffd4, 0, 0, 8, 5, 6], sp: 0xffff_d000, ip: 0xffff_8010 })
    )]
    fn lines(#[case] line: &str, #[case] want: Option<Blocked>) {
        assert_eq!(parse(line), want);
    }
}
