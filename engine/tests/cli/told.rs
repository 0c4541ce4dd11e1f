//! What the user reads: what is in a context file, what a restart would do, and one line for each thing that is in the way.

use super::*;

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
        format!("made {}", &today[..7]),
        format!("on {}, kernel {}", uname.nodename().to_string_lossy(), uname.release().to_string_lossy()),
        format!("   {} ", job.pid),
        "python3 -c \"\\nimport time".to_owned(),
        "\" first second\n".to_owned(),
        format!("in {}: 1 thread, ", dir.display()),
        format!("{} (0 bytes)", dir.join("log of it").display()),
        format!("{} (directory)", dir.display()),
        "whole: all checksums are right".to_owned(),
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
        assert!(complaint(&output).contains("compressed by gzip; unpack it first"), "{}", complaint(&output));
    }
}

#[test]
fn one_cause_is_one_line() {
    let job = Job::script(
        "exec python3 -c '\nimport socket, time\na, b = socket.socketpair()\nc = [a.dup() for _ in range(4)]\nopen(\"up\", \"w\").close()\ntime.sleep(600)'",
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

/// A worker that copies memory may take longer than it is waited for others; here it does nothing for so long.
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
