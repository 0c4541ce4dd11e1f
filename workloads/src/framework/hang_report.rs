//! Report on a hang, to find its cause: what every thread waits in, and whether processors get
//! their timer interrupts.

use super::{descendants, procfs, sys};
use std::fs;
use std::sync::Once;

/// Files in /proc, and the lines in them that show whether processors get their timer interrupts,
/// and when each expects its next one.
const PROCESSORS: [(&str, &[&str]); 2] = [
    ("/proc/interrupts", &["LOC:", "RES:"]),
    ("/proc/timer_list", &["now at", "cpu:", ".expires_next", ".hres_active", ".nr_hangs"]),
];

/// Prints the report; a short reason is on standard error. Only once: for the first process that
/// times out.
pub fn print() {
    static PRINTED: Once = Once::new();
    PRINTED.call_once(|| print!("{}", report()));
}

/// A line for each thread of the calling process and of everything below it, and the processors'
/// timers.
///
/// An unreadable file is reported in its place: only root can read /proc/timer_list.
fn report() -> String {
    let own = sys::getpid();
    let mut lines = Vec::new();
    for pid in std::iter::once(own).chain(descendants::of(own)) {
        let tids = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let tids = tids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        lines.extend(tids.map(|tid| thread(pid, tid)));
    }
    for (path, wanted) in PROCESSORS {
        match fs::read_to_string(path) {
            Ok(text) => {
                let tells = |line: &&str| wanted.iter().any(|word| line.starts_with(word));
                lines.extend(text.lines().map(str::trim).filter(tells).map(str::to_owned));
            }
            Err(error) => lines.push(format!("{path}: {error}")),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What one thread waits in.
fn thread(pid: i32, tid: i32) -> String {
    let of = |name: &str| {
        let text = fs::read(format!("/proc/{pid}/task/{tid}/{name}"));
        text.map_or_else(
            |error| format!("({error})"),
            |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        )
    };
    let state = procfs::Stat::of(tid).map_or('?', |stat| stat.state);
    let call = of("syscall");
    let call = call.split_whitespace().next().unwrap_or("-");
    format!("{pid}/{tid} {}: {state}, system call {call}, in {}", of("comm"), of("wchan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_threads_and_what_they_wait_in() {
        let (said, hears) = std::sync::mpsc::channel::<()>();
        let waits = std::thread::Builder::new().name("waits".into()).spawn(move || hears.recv()).unwrap();
        let waiting = || report().lines().any(|line| line.contains(" waits: S, system call "));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !waiting() {
            assert!(std::time::Instant::now() < deadline, "{}", report());
            std::thread::yield_now();
        }
        drop(said);
        waits.join().unwrap().unwrap_err();
        assert!(report().contains("LOC:") || cfg!(not(target_arch = "x86_64")));
    }
}
