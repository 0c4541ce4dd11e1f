//! What the user reads: what is in a context file, what a restart would do, and one line for each
//! thing that is in the way.

use super::*;
use rstest::rstest;

/// A saved and killed job in its directory, with a file that it writes.
fn saved() -> (Job, PathBuf) {
    let job = Job::script(
        "exec python3 -c '\nimport time\nlog = open(\"log of it\", \"w\")\nopen(\"up\", \"w\").close()\nwhile True: time.sleep(1)\n' first second",
    );
    wait_for("the job", || job.path("up").exists().then_some(()));
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let file = job.path("context");
    (job, file)
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn info_tells_where_a_file_is_from_what_ran_and_what_a_restart_needs() {
    let (job, file) = saved();
    let output = cairn(["info", "--verify", file.to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let told = printed(&output);
    let (uname, today) = (rustix::system::uname(), cmd!("date", "-u", "+%F").read().expect("date runs"));
    let dir = std::fs::canonicalize(job.dir.path()).expect("the directory is there");
    let expected = [
        format!("created {}", &today[..7]),
        format!("on {}, kernel {}", uname.nodename().to_string_lossy(), uname.release().to_string_lossy()),
        format!("   {} ", job.pid),
        "python3 -c \"\\nimport time".to_owned(),
        "\" first second\n".to_owned(),
        format!("in {}: 1 thread, ", dir.display()),
        format!("{} (0 bytes)", dir.join("log of it").display()),
        format!("{} (directory)", dir.display()),
        "intact: all checksums match".to_owned(),
    ];
    for part in expected {
        assert!(told.contains(&part), "{part:?} is not in:\n{told}");
    }
    assert!(!printed(&cairn(["info", file.to_str().expect("UTF-8")])).contains("checksums"));
}

#[test]
fn a_plan_names_files_by_their_paths() {
    let (job, file) = saved();
    let output = cairn(["restart", "--plan", file.to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let dir = std::fs::canonicalize(job.dir.path()).expect("the directory is there");
    let told = printed(&output);
    assert!(told.contains(&format!("open {} as fd ", dir.join("log of it").display())), "{told}");
}

#[test]
fn a_compressed_file_is_refused_with_how_to_unpack_it() {
    let (job, file) = saved();
    cmd!("gzip", "-1", &file).run().expect("gzip runs");
    for command in ["restart", "info"] {
        let packed = job.path("context.gz");
        let output = cairn([command, packed.to_str().expect("UTF-8")]);
        assert_eq!(exit_code(&output), 4);
        assert!(
            complaint(&output).contains("compressed with gzip; unpack it first"),
            "{}",
            complaint(&output)
        );
    }
}

#[test]
fn one_cause_is_one_line() {
    let job = Job::script(
        "exec python3 -c '\nimport socket, time\na = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\nc = [a.dup() for _ in range(5)]\nopen(\"up\", \"w\").close()\ntime.sleep(600)'",
    );
    wait_for("the sockets", || job.path("up").exists().then_some(()));
    let output = cairn(["check", &job.pid()]);
    assert_eq!(exit_code(&output), 3);
    let told = printed(&output);
    let lines: Vec<&str> = told.lines().filter(|line| line.contains("socket")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(lines[0].ends_with(" and 2 more)"), "{told}");
}

#[test]
fn an_ordinary_user_is_told_what_to_do() {
    if Path::new("/dev/cairn").exists() {
        return;
    }
    let job = Job::counter();
    cmd!("chmod", "a+rx", job.dir.path()).run().expect("chmod runs");
    // A copy, for directories on the way to the program may be closed to others.
    let program = job.path("cairn");
    std::fs::copy(CAIRN, &program).expect("copied");
    let run =
        cmd!("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", &program, "check", job.pid());
    let output = run.stdin_null().stdout_capture().stderr_capture().unchecked().run().expect("setpriv runs");
    assert_eq!(exit_code(&output), 5, "{}", complaint(&output));
    let said = complaint(&output);
    assert!(said.contains("`sudo`") && said.contains("kernel module"), "{said}");
}

/// A job with so much memory that to copy it takes a while.
pub fn large_job() -> Job {
    let job = Job::script(
        "exec python3 -c '\nimport time\nkeep = b\"x\" * (384 << 20)\ncount = 0\nwhile True:\n    count += 1\n    \
         with open(\"count\", \"w\") as file: file.write(str(count))\n    time.sleep(0.001)'",
    );
    wait_for("the memory", || (job.count() > 0).then_some(()));
    job
}

/// Waits until a worker has begun to write what it copies. The file has no name yet.
pub fn await_contents(job: &Job, worker: i32) {
    let blocks = || {
        use std::os::unix::fs::MetadataExt;
        let links = std::fs::read_dir(format!("/proc/{worker}/fd")).ok()?.flatten().map(|entry| entry.path());
        let ours =
            links.filter(|link| std::fs::read_link(link).is_ok_and(|to| to.starts_with(job.dir.path())));
        ours.filter_map(|link| std::fs::metadata(link).ok()).map(|meta| meta.blocks()).max()
    };
    wait_for("contents in the file", || blocks().filter(|blocks| *blocks > 2048));
}

/// A worker that copies memory may take longer than it is waited for others; here it does nothing
/// for so long.
#[test]
fn a_long_copy_is_no_worker_that_hangs() {
    let job = large_job();
    let file = job.path("context");
    let mut begun = std::process::Command::new(CAIRN)
        .args(["checkpoint", "--time", "1", &job.pid(), "-o"])
        .arg(&file)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("cairn starts");
    let worker = wait_for("the worker", || harm::child_of(begun.id()));
    await_contents(&job, worker);
    harm::kill(worker, rustix::process::Signal::STOP);
    // What it has, and two seconds more, and some for a slow machine.
    std::thread::sleep(Duration::from_secs(4));
    assert!(begun.try_wait().expect("it is our child").is_none(), "it gave up");
    harm::kill(worker, rustix::process::Signal::CONT);
    assert!(begun.wait().expect("it is our child").success());
    let output = cairn(["info", "--verify", file.to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
}

#[test]
fn a_thread_is_told_with_its_process() {
    let job = python::start(
        "thread = threading.Thread(target=signal.pause)\nthread.start()\nsay('up', thread.native_id)\nthread.join()",
    );
    let thread = python::up(&job).expect("there are threads everywhere");
    let file = job.path("context").display().to_string();
    let whose = format!(
        "{thread} is a thread of process {0}, and a process is saved with all its threads; use {0}",
        job.pid
    );
    for scope in ["--tree", "--pid"] {
        let saved = cairn(["checkpoint", scope, &thread, "--kill", "-o", &file]);
        for output in [cairn(["check", scope, &thread]), saved] {
            assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
            let said = complaint(&output) + &printed(&output);
            assert!(said.contains(&whose), "{said}");
        }
    }
    assert!(!job.path("context").exists() && !job.is_gone());
}

/// A process that stops itself is not continued by cairn.
#[rstest]
#[case::its_parent("\"$CAIRN\" checkpoint $$ -o context --kill; echo $? > code; :")]
#[case::itself("exec \"$CAIRN\" checkpoint $$ -o context --kill")]
fn cairn_among_what_it_is_to_save_is_told_with_the_way_out(#[case] text: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    let run = cmd!("timeout", "60", "sh", "-c", text).dir(dir.path()).env("CAIRN", CAIRN).stdin_null();
    let output = run.stdout_capture().stderr_capture().unchecked().run().expect("sh starts");
    let code = std::fs::read_to_string(dir.path().join("code"));
    let code = code.map_or(exit_code(&output), |code| code.trim().parse().expect("a number"));
    assert_eq!(code, 3, "{}", complaint(&output));
    let said = complaint(&output);
    assert!(
        said.contains(" is cairn itself, ") && said.contains("with --pid, or start cairn from outside"),
        "{said}"
    );
    assert!(!dir.path().join("context").exists());
}

/// A hard limit cannot be raised again without a capability.
#[test]
fn a_resource_limit_that_cannot_be_raised_is_named_with_its_value() {
    let job = Job::counter();
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let hard = cmd!("sh", "-c", "ulimit -Hs").read().expect("sh runs");
    let hard = hard.parse().map_or("unlimited".to_owned(), |kilobytes: u64| (kilobytes << 10).to_string());
    let without = "setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource";
    let text = format!(
        "ulimit -Ss 4096; ulimit -Hs 4096; exec {without} timeout 60 {CAIRN} restart --detach context"
    );
    let run = cmd!("sh", "-c", text).dir(job.dir.path()).stdin_null();
    let output = run.stdout_capture().stderr_capture().unchecked().run().expect("sh starts");
    assert_eq!(exit_code(&output), 5, "{}", complaint(&output));
    let said = complaint(&output);
    assert!(said.contains(&format!("hard limit RLIMIT_STACK at {hard}, ")), "{said}");
    assert!(said.contains("CAP_SYS_RESOURCE"), "{said}");
    wait_for("the end of what was made", || job.is_gone().then_some(()));
}

#[rstest]
#[case::dump(&["dump", "1"], "cairn checkpoint PID")]
#[case::dash_t(&["checkpoint", "-t", "1"], "the PID is an argument: cairn checkpoint PID")]
#[case::restore(&["restore", "f"], "cairn restart FILE")]
fn words_of_other_programs_are_answered_with_ours(#[case] args: &[&str], #[case] hint: &str) {
    let run = cmd(CAIRN, args).stdin_null().stdout_capture().stderr_capture().unchecked();
    let output = run.run().expect("cairn starts");
    assert_eq!(exit_code(&output), 2);
    let said = complaint(&output);
    let told = said.lines().find(|line| line.trim_start().starts_with("hint: "));
    assert!(told.is_some_and(|told| told.contains(hint)), "{said}");
}

#[test]
fn output_that_nobody_gave_a_place_is_kept_and_added_to() {
    let dir = tempfile::tempdir().expect("a directory");
    for text in ["echo first", "echo second >&2"] {
        let run = cmd!(CAIRN, "run", "--", "sh", "-c", text).dir(dir.path()).stdin_null();
        let output = run.stdout_capture().stderr_capture().unchecked().run().expect("cairn starts");
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        assert!(complaint(&output).contains("output in cairn.out"), "{}", complaint(&output));
    }
    let kept = std::fs::read_to_string(dir.path().join("cairn.out")).expect("it is there");
    assert_eq!(kept, "first\nsecond\n");
}

/// What a restart could not give back is no reason to kill.
#[test]
fn a_job_with_a_higher_limit_than_ours_is_not_killed() {
    let job = Job::counter();
    let text = format!(
        "ulimit -Hc 0; exec setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource {CAIRN} checkpoint {} --kill -o context",
        job.pid
    );
    let run = cmd!("sh", "-c", text).dir(job.dir.path()).stdin_null();
    let output = run.stdout_capture().stderr_capture().unchecked().run().expect("sh starts");
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    let said = complaint(&output);
    assert!(said.contains("RLIMIT_CORE") && said.contains("ulimit -H"), "{said}");
    assert!(!job.path("context").exists());
    job.await_progress();
}

/// Neither what the job writes nor what somebody else wrote is replaced by a context file.
#[test]
fn a_file_of_another_kind_or_of_the_job_is_not_replaced() {
    let job = Job::script("exec 5>empty; : > up; while :; do read x < /dev/null; done");
    wait_for("the job", || job.path("up").exists().then_some(()));
    std::fs::write(job.path("text"), "precious\n").expect("written");
    let output = job.checkpoint("text", &[]);
    assert_eq!(exit_code(&output), 1, "{}", complaint(&output));
    assert!(complaint(&output).contains("a context file does not replace"), "{}", complaint(&output));
    assert_eq!(std::fs::read_to_string(job.path("text")).expect("it is there"), "precious\n");
    let output = job.checkpoint("empty", &["--kill"]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    assert!(complaint(&output).contains("choose another name"), "{}", complaint(&output));
    assert_eq!(std::fs::metadata(job.path("empty")).expect("it is there").len(), 0);
    for _ in 0..2 {
        assert_eq!(exit_code(&job.checkpoint("context", &[])), 0);
    }
}

/// Semaphores of others say nothing of a job that has none; and we have threads, which have lists
/// of undoings.
#[test]
fn semaphores_of_others_are_in_nobodys_way() {
    let set = cmd!("ipcmk", "-S", "1").read().expect("ipcmk runs");
    let set = set.rsplit(' ').next().expect("its number").trim().to_owned();
    let job = Job::counter();
    let outputs = [job.checkpoint("context", &[]), cairn(["check", &job.pid()])];
    cmd!("ipcrm", "-s", set).run().expect("ipcrm runs");
    for output in outputs {
        assert_eq!(
            exit_code(&output),
            0,
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            complaint(&output)
        );
    }
}
