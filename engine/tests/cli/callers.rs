//! What whoever calls cairn has, ignores or has closed: it neither changes what cairn says nor what
//! the job is.

use super::*;
use rstest::rstest;

/// Runs a line of shell, which finds cairn in `$CAIRN`, its file in `$FILE` and the job's number in
/// `$JOB`.
fn called(job: &Job, line: &str) -> Output {
    let run = cmd!("timeout", "-s", "KILL", "30", "sh", "-c", line)
        .dir(job.dir.path())
        .env("CAIRN", CAIRN)
        .env("FILE", job.path("context"))
        .env("JOB", job.pid())
        .stdin_null();
    run.stdout_capture().stderr_capture().unchecked().run().expect("timeout starts")
}

fn save(job: &Job) {
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
}

/// Runs cairn as a child of nobody who waits for children; not by a shell, for some of them do not
/// hand that down.
fn called_by_who_ignores_children(job: &Job, args: &str) -> Output {
    let text = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
    called(job, &format!("exec python3 -c '{text}' \"$CAIRN\" {args}"))
}

#[test]
fn a_caller_that_ignores_the_end_of_children_is_told_the_right_codes() {
    let job = Job::script("i=0; while [ ! -e go ]; do i=$((i+1)); echo $i > count; done; exit 7");
    job.await_progress();
    let output = called_by_who_ignores_children(&job, r#"checkpoint "$JOB" --kill -o "$FILE""#);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    std::fs::write(job.path("go"), "").expect("written");
    let output = called_by_who_ignores_children(&job, r#"restart "$FILE""#);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let output =
        called_by_who_ignores_children(&job, "run -o /dev/null -- sh -c 'read x < /dev/null; exit 9'");
    assert_eq!(exit_code(&output), 9, "{}", complaint(&output));
}

#[rstest]
#[case::plan(r#"restart --plan "$FILE""#)]
#[case::restart(r#"restart --detach "$FILE""#)]
#[case::info(r#"info "$FILE""#)]
#[case::info_in_full(r#"info --json "$FILE""#)]
fn a_reader_that_has_gone_is_no_failure(#[case] command: &str) {
    let job = Job::counter();
    save(&job);
    let output = without_a_reader(&job, command);
    assert_eq!((exit_code(&output), complaint(&output)), (0, String::new()));
    assert_eq!(job.is_gone(), !command.contains("detach"));
}

#[rstest]
#[case::fine("exec 5< /dev/null", 0)]
#[case::refused("exec 5< /dev/zero 6< /dev/kmsg", 3)]
fn a_check_without_a_reader_ends_as_with_one(#[case] before: &str, #[case] code: i32) {
    let job = Job::script(&format!("{before}; i=0; while :; do i=$((i+1)); echo $i > count; done"));
    job.await_progress();
    let output = without_a_reader(&job, r#"check "$JOB""#);
    assert_eq!((exit_code(&output), complaint(&output)), (code, String::new()));
    let output = without_a_reader(&job, r#"checkpoint "$JOB" -o "$FILE""#);
    assert_eq!(exit_code(&output), code, "{}", complaint(&output));
    job.await_progress();
}

/// A cairn command whose output is a pipe without a reader.
fn without_a_reader(job: &Job, command: &str) -> Output {
    called(
        job,
        &format!("mkfifo pipe; exec 6<> pipe 7> pipe 6<&-; rm pipe; exec \"$CAIRN\" {command} >&7 7>&-"),
    )
}

/// Nothing takes it off again.
#[test]
fn a_caller_without_new_privileges_cannot_restart_what_may_have_them() {
    let job = Job::counter();
    save(&job);
    let output = called(&job, r#"exec setpriv --no-new-privs "$CAIRN" restart --detach "$FILE""#);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let said = complaint(&output);
    assert!(said.contains("no_new_privs") && said.contains("start cairn without"), "{said}");
    assert!(job.is_gone());
}

#[test]
fn a_job_that_had_no_new_privileges_is_restarted_by_who_has_none() {
    let job =
        Job::script("exec setpriv --no-new-privs sh -c 'i=0; while :; do i=$((i+1)); echo $i > count; done'");
    job.await_progress();
    save(&job);
    let output = called(&job, r#"exec setpriv --no-new-privs "$CAIRN" restart --detach "$FILE""#);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
    assert_eq!(status_field(job.pid, "NoNewPrivs").as_deref(), Some("1"));
}

/// Nothing takes a filter off again either.
#[test]
fn a_caller_with_a_filter_cannot_restart_what_had_none() {
    let job = Job::counter();
    save(&job);
    let filter = "import ctypes, os, struct
C = ctypes.CDLL(None, use_errno=True)
allow = ctypes.create_string_buffer(struct.pack(\"HBBI\", 6, 0, 0, 0x7fff0000), 8)
program = ctypes.create_string_buffer(struct.pack(\"HxxxxxxP\", 1, ctypes.addressof(allow)))
if C.prctl(22, 2, program, 0, 0): os._exit(99)
os.execv(os.environ[\"CAIRN\"], [\"cairn\", \"restart\", \"--detach\", os.environ[\"FILE\"]])";
    let output = called(&job, &format!("exec python3 -c '{filter}'"));
    if exit_code(&output) == 99 {
        eprintln!("skipped: no filters here");
        return;
    }
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    assert!(complaint(&output).contains("seccomp filter"), "{}", complaint(&output));
    assert!(job.is_gone());
}

/// What every thread of a process has that its parent could have handed down.
fn attributes(pid: i32) -> Vec<(i32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the job lives").flatten();
    let mut all: Vec<_> = tasks
        .map(|task| {
            let tid: i32 = task.file_name().to_string_lossy().parse().expect("a number");
            let read = |name: &str| std::fs::read_to_string(task.path().join(name)).expect("the job lives");
            let fields = ["Umask", "Cpus_allowed", "NoNewPrivs", "Seccomp", "SigIgn", "SigBlk"];
            let status = read("status");
            let kept =
                status.lines().filter(|line| fields.iter().any(|f| line.starts_with(&format!("{f}:"))));
            let stat = read("stat");
            // Nice value, policy and priority of real-time scheduling.
            let after = stat.rsplit_once(')').expect("proc_pid_stat(5)").1.to_owned();
            let numbers: Vec<_> = after.split_ascii_whitespace().collect();
            let scheduling = [16, 37, 38].map(|at| numbers[at]).join(" ");
            let text = kept.chain([scheduling.as_str()]).collect::<Vec<_>>().join("\n");
            (tid, format!("{text}\n{}{}", read("limits"), read("oom_score_adj")))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn what_the_caller_has_does_not_stick_to_the_job() {
    let job = Job::script(
        "exec python3 -c '\nimport threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\ncount = 0\n\
         while True:\n    count += 1\n    with open(\"count\", \"w\") as file: file.write(str(count))'",
    );
    job.await_progress();
    let before = attributes(job.pid);
    save(&job);
    let line = r#"umask 077; trap '' INT USR1; echo 300 > /proc/self/oom_score_adj
        exec chrt -b 0 nice -n 5 taskset -c 0 prlimit --core=0: --nofile=512: --stack=4194304: "$CAIRN" restart --detach "$FILE""#;
    let output = called(&job, line);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
    let after = attributes(job.pid);
    assert_eq!(before.len(), 2);
    for (then, now) in before.iter().zip(&after) {
        assert_eq!(then.0, now.0);
        assert_eq!(then.1, now.1, "of thread {}", then.0);
    }
}

/// Clocks that count from the start of the machine begin anew with it; another start is played by a
/// namespace.
#[test]
fn clocks_that_are_behind_are_a_conflict_that_can_be_allowed() {
    let ahead = ["unshare", "--time", "--monotonic", "500000", "--boottime", "500000"];
    if cmd(ahead[0], ahead[1..].iter().chain(&["true"]))
        .stderr_null()
        .unchecked()
        .run()
        .is_ok_and(|run| !run.status.success())
    {
        eprintln!("skipped: no namespaces of clocks");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let text = "i=0; while :; do i=$((i+1)); echo $i > count; done";
    // In that namespace cairn itself has to be, whose clocks are recorded.
    let inside = format!(
        r#"pid=$("$CAIRN" run --detach -o /dev/null -- sh -c '{text}') && echo "$pid" && "$CAIRN" checkpoint "$pid" --kill -o context >&2"#
    );
    let run =
        cmd(ahead[0], ahead[1..].iter().chain(&["sh", "-c", &inside])).dir(dir.path()).env("CAIRN", CAIRN);
    let output =
        run.stdin_null().stdout_capture().stderr_capture().unchecked().run().expect("unshare starts");
    assert!(output.status.success(), "{}", complaint(&output));
    let pid = String::from_utf8_lossy(&output.stdout).trim().parse().expect("its number");
    let job = Job { dir, pid };
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = called(&job, r#"exec "$CAIRN" restart --detach "$FILE""#);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    let said = complaint(&output);
    for word in ["CLOCK_MONOTONIC", " s behind", "unshare --time", "--ignore-clocks"] {
        assert!(said.contains(word), "{said}");
    }
    // Less what has passed since, which on a busy machine is some seconds.
    let behind = said.split(" s behind").next().and_then(|text| text.rsplit(' ').next());
    let behind: i64 = behind.and_then(|number| number.parse().ok()).expect("a number");
    assert!((499_900..=500_000).contains(&behind), "{said}");
    assert!(job.is_gone());
    let output = called(&job, r#"exec "$CAIRN" restart --detach --ignore-clocks "$FILE""#);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
}

/// Pages that were locked are to be locked again.
#[test]
fn a_caller_that_may_lock_no_memory_cannot_restart_what_has_some() {
    let job = python::start(
        r#"
import mmap, resource
memory = mmap.mmap(-1, 1 << 16)
place = (ctypes.c_char * (1 << 16)).from_buffer(memory)
call("mlock", place, 1 << 16, absent=[errno.EPERM, errno.ENOMEM])
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
say("up", os.getpid())
while True: signal.pause()
"#,
    );
    if python::up(&job).is_none() {
        return;
    }
    save(&job);
    let line = r#"exec prlimit --memlock=0:0 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock "$CAIRN" restart --detach "$FILE""#;
    let output = called(&job, line);
    let said = complaint(&output);
    assert!(matches!(exit_code(&output), 1 | 5 | 7), "{said}");
    assert!(said.contains("lock"), "{said}");
    wait_for("the end of what was made", || job.is_gone().then_some(()));
    let output = called(&job, r#"exec "$CAIRN" restart --detach "$FILE""#);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    assert_eq!(status_field(job.pid, "VmLck").as_deref().map(str::trim), Some("64 kB"));
}
