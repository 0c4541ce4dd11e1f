//! Named files that are not what they were: told with both values and what decides, and nothing is
//! born.

use super::*;
use rstest::rstest;
use std::fs::FileTimes;

/// Saved, ended, and waiting in its directory for what happens to its files.
fn saved(text: &str) -> Job {
    let job = Job::script(text);
    wait_for("the job", || job.path("up").exists().then_some(()));
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    job
}

fn restart(job: &Job, more: &[&str]) -> Output {
    let file = job.path("context").display().to_string();
    let args = ["restart", "--detach", &file].into_iter().chain(more.iter().copied()).map(str::to_owned);
    let run = cmd(CAIRN, args).stdin_null().stdout_capture().stderr_capture().unchecked().run();
    run.expect("cairn starts")
}

fn expect_conflict(job: &Job, more: &[&str], words: &[&str]) {
    let output = restart(job, more);
    assert_eq!(exit_code(&output), 7, "{more:?}: {}", complaint(&output));
    let said = complaint(&output);
    assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    assert!(job.is_gone());
}

fn expect_restart(job: &Job, more: &[&str]) {
    let output = restart(job, more);
    assert_eq!(exit_code(&output), 0, "{more:?}: {}", complaint(&output));
    assert_eq!(status_field(job.pid, "TracerPid").as_deref(), Some("0"));
}

fn write(job: &Job, name: &str, text: &str) {
    std::fs::write(job.path(name), text).expect("written");
}

/// Writes a line on request.
const LOGGER: &str = "exec 5>log; echo one >&5; : > up; while [ ! -e go ]; do read x < /dev/null; done; \
                      echo three >&5; : > done; while :; do read x < /dev/null; done";

fn log_after(job: &Job) -> String {
    write(job, "go", "");
    wait_for("the next line", || job.path("done").exists().then_some(()));
    std::fs::read_to_string(job.path("log")).expect("the log is there")
}

#[rstest]
#[case::all("--truncate".to_owned())]
#[case::this_one("--truncate=log".to_owned())]
fn what_was_appended_is_cut_back_on_demand(#[case] option: String) {
    let job = saved(LOGGER);
    write(&job, "log", "one\ntwo\n");
    let log = job.path("log").display().to_string();
    expect_conflict(&job, &[], &[&log, "bytes: 4, now 8", "--truncate", "--ignore-changes"]);
    expect_conflict(&job, &["--truncate=/nonexistent"], &["/nonexistent", &log]);
    assert_eq!(std::fs::read_to_string(&log).expect("it is there"), "one\ntwo\n");
    let option = option.replace("=log", &format!("={log}"));
    expect_restart(&job, &[&option]);
    assert_eq!(log_after(&job), "one\nthree\n");
}

#[test]
fn a_log_that_was_cut_gets_no_hole() {
    let job = saved(LOGGER);
    write(&job, "log", "");
    expect_conflict(&job, &["--truncate"], &["bytes: 4, now 0", "--ignore-changes"]);
    expect_restart(&job, &["--ignore-changes"]);
    assert_eq!(log_after(&job), "three\n");
}

#[test]
fn a_log_that_was_rotated_is_told() {
    let job = saved(LOGGER);
    std::fs::rename(job.path("log"), job.path("log.1")).expect("rotated");
    write(&job, "log", "other, and longer\n");
    let log = job.path("log").display().to_string();
    expect_conflict(&job, &["--truncate"], &["inode: ", "digest", "--ignore-changes"]);
    expect_restart(&job, &[&format!("--ignore-changes={log}")]);
}

/// Gives a file other contents, or the same, of the same size and with the same time of
/// modification, as another inode.
fn replace(job: &Job, name: &str, contents: &[u8]) {
    let path = job.path(name);
    let meta = std::fs::metadata(&path).expect("it is there");
    let modified = meta.modified().expect("it has one");
    let other = job.path("other");
    std::fs::write(&other, contents).expect("written");
    let file = std::fs::File::options().write(true).open(&other).expect("it is there");
    file.set_permissions(meta.permissions()).expect("set");
    file.set_times(FileTimes::new().set_modified(modified)).expect("set");
    std::fs::rename(&other, &path).expect("replaced");
}

const SIZE: usize = 20_000;

/// A job in Python that has `data` open as `f`.
fn reader(more: &str) -> Job {
    saved(&format!(
        "exec python3 -c '
import mmap, time
open(\"data\", \"wb\").write(b\"A\" * {SIZE})
f = open(\"data\", \"r+b\")
{more}
open(\"up\", \"w\").close()
time.sleep(600)'"
    ))
}

#[rstest]
#[case::open("f.read(10)")]
#[case::private("m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); m[0]")]
#[case::shared("m = mmap.mmap(f.fileno(), 0); m[0]")]
fn equal_contents_are_no_difference(#[case] more: &str) {
    let job = reader(more);
    replace(&job, "data", &[b'A'; SIZE]);
    expect_restart(&job, &[]);
}

#[test]
fn other_contents_of_the_same_size_and_time_are_told() {
    let job = reader("f.read(10)");
    replace(&job, "data", &[b'B'; SIZE]);
    expect_conflict(&job, &["--truncate"], &["data: has changed", "digest", "--ignore-changes"]);
    expect_restart(&job, &["--ignore-changes"]);
}

/// Unmodified pages are those of the file.
#[test]
fn what_private_mappings_need_cannot_be_ignored() {
    let job = reader("m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY); m[0]");
    replace(&job, "data", &[b'B'; SIZE]);
    let pid = job.pid();
    for option in [&[][..], &["--ignore-changes", "--truncate"]] {
        expect_conflict(&job, option, &["digest", "no option", &format!("private mappings of pid {pid} ")]);
    }
}

#[test]
fn a_shared_mapping_beyond_the_end_cannot_be_ignored() {
    let job = reader("m = mmap.mmap(f.fileno(), 0); m[0]");
    std::fs::File::options().write(true).open(job.path("data")).and_then(|f| f.set_len(100)).expect("cut");
    let bytes = format!("{SIZE} bytes");
    expect_conflict(&job, &["--ignore-changes"], &["bytes: 20000, now 100", &bytes, "shared mapping"]);
}

#[test]
fn another_owner_cannot_be_ignored() {
    let job = reader("f.read(10)");
    std::os::unix::fs::chown(job.path("data"), Some(4242), Some(4343)).expect("root may");
    expect_conflict(&job, &["--ignore-changes"], &["is now owned by 4242:4343", "chown 0:0"]);
}

/// The program itself is mapped by everybody who runs it.
#[test]
fn a_program_that_was_replaced_is_told() {
    let job = Job::script("cp \"$(command -v sleep)\" mine; : > up; exec ./mine 600");
    wait_for("the program", || {
        let exe = std::fs::read_link(format!("/proc/{}/exe", job.pid)).ok()?;
        (exe == job.path("mine")).then_some(())
    });
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let mut program = std::fs::read(job.path("mine")).expect("it is there");
    replace(&job, "mine", &program);
    expect_restart(&job, &[]);
    let again = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&again), 0, "{}", complaint(&again));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let middle = program.len() / 2;
    program[middle] ^= 1;
    replace(&job, "mine", &program);
    expect_conflict(&job, &["--ignore-changes"], &["mine: has changed", "digest", "no option"]);
}
