//! What is told of a hang, for those who have to find its cause: what every thread waits in, and whether processors get
//! their timer interrupts.

use super::{child, sys};
use std::fmt::Write as _;
use std::fs;

/// A line for each thread of the calling process and of everything below it, and the processors' timers.
///
/// What cannot be read is told in its place: /proc/timer_list is root's.
pub fn census() -> String {
    let mut text = String::new();
    let own = sys::getpid();
    for pid in std::iter::once(own).chain(child::descendants(own)) {
        for tid in threads(pid) {
            let of = |name: &str| first_line(&format!("/proc/{pid}/task/{tid}/{name}"));
            let state = of("stat")
                .rsplit_once(')')
                .map_or('?', |(_, rest)| rest.trim_start().chars().next().unwrap_or('?'));
            let call = of("syscall");
            let call = call.split_whitespace().next().unwrap_or("-").to_owned();
            // Writing to a String cannot fail.
            let _ =
                writeln!(text, "{pid}/{tid} {}: {state}, system call {call}, in {}", of("comm"), of("wchan"));
        }
    }
    for (file, wanted) in [("/proc/interrupts", &["LOC:", "RES:"][..]), ("/proc/timer_list", &TIMERS)] {
        let lines = fs::read_to_string(file).unwrap_or_else(|error| format!("{file}: {error}"));
        let tells = |line: &&str| {
            line.starts_with(file) || wanted.iter().any(|word| line.trim_start().starts_with(word))
        };
        lines.lines().filter(tells).for_each(|line| {
            let _ = writeln!(text, "{}", line.trim());
        });
    }
    text
}

/// The lines of /proc/timer_list that say when a processor expects its next timer, and what its clock says.
const TIMERS: [&str; 5] = ["now at", "cpu:", ".expires_next", ".hres_active", ".nr_hangs"];

fn threads(pid: i32) -> Vec<i32> {
    let dir = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    dir.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn first_line(path: &str) -> String {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned(),
        Err(error) => format!("({error})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_threads_and_what_they_wait_in() {
        let (said, hears) = std::sync::mpsc::channel::<()>();
        let waits = std::thread::Builder::new().name("waits".into()).spawn(move || hears.recv()).unwrap();
        let waiting = || census().lines().any(|line| line.contains(" waits: S, system call "));
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !waiting() {
            assert!(std::time::Instant::now() < deadline, "{}", census());
            std::thread::yield_now();
        }
        drop(said);
        waits.join().unwrap().unwrap_err();
        assert!(census().contains("LOC:") || cfg!(not(target_arch = "x86_64")));
    }
}
