//! Root restarts what somebody owns who has done something to the directories meanwhile.

use super::*;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

const WAIT: &str = ": > up; while :; do read x < /dev/null; done";

fn saved(text: &str) -> Job {
    let job = Job::script(&format!("mkdir w etc; echo secret > etc/shadow; {text}; {WAIT}"));
    wait_for("the job", || job.path("up").exists().then_some(()));
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    job
}

fn restart(job: &Job) -> Output {
    cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")])
}

/// Names, and what any change to them or to what they are of would move.
fn look(directory: &Path) -> BTreeSet<(String, u64, i64, i64, i64)> {
    let all = std::fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("it can be read"));
    all.map(|entry| {
        let meta = entry.metadata().expect("it is there");
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, meta.ino(), meta.ctime(), meta.ctime_nsec(), meta.atime_nsec())
    })
    .collect()
}

/// `w` becomes a link to a directory of somebody else.
fn exchange(job: &Job) {
    std::fs::rename(job.path("w"), job.path("w2")).expect("moved");
    std::os::unix::fs::symlink(job.path("etc"), job.path("w")).expect("linked");
}

fn expect_refused(job: &Job, words: &[&str]) {
    let before = look(&job.path("etc"));
    let output = restart(job);
    assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
    assert!(words.iter().all(|word| complaint(&output).contains(word)), "{}", complaint(&output));
    assert_eq!(look(&job.path("etc")), before);
    assert!(job.is_gone());
}

#[test]
fn nothing_is_opened_through_a_link() {
    let job = saved("exec 5<>w/shadow");
    exchange(&job);
    expect_refused(&job, &["w/shadow: now leads through a symbolic link"]);
}

#[test]
fn nothing_is_entered_through_a_link() {
    let job = saved("cd w; exec 2>&1; set --; cd ..; mkdir w/x; cd w/x; cd ../..; exec 5< w");
    exchange(&job);
    expect_refused(&job, &["w: is now a symbolic link, but was a directory at the checkpoint"]);
}

#[test]
fn nothing_is_made_through_a_link() {
    let job = saved("exec 5<>w/cron; echo job >&5; rm w/cron");
    exchange(&job);
    // The name would be made, and taken away.
    std::fs::write(job.path("etc/cron"), "of somebody else").expect("written");
    expect_refused(&job, &["w: now leads through a symbolic link"]);
}

#[test]
fn no_directory_is_made_through_a_link() {
    let job = saved("mkdir -p w/a/b; exec 5<w/a/b; rmdir w/a/b w/a");
    exchange(&job);
    std::fs::create_dir_all(job.path("etc/a/b")).expect("made");
    expect_refused(&job, &["w: now leads through a symbolic link"]);
}

#[test]
fn a_file_that_became_a_link_is_named_so() {
    let job = saved("exec 5<>w/shadow");
    std::fs::rename(job.path("w/shadow"), job.path("w/old")).expect("moved");
    std::os::unix::fs::symlink(job.path("etc/shadow"), job.path("w/shadow")).expect("linked");
    expect_refused(&job, &["w/shadow: is now a symbolic link, but was a regular file at the checkpoint"]);
}

/// A file of somebody else under the job's name for its own.
#[test]
fn a_hard_link_to_a_file_of_somebody_else_is_refused() {
    let job = saved("exec 5<>w/shadow");
    std::os::unix::fs::chown(job.path("etc/shadow"), Some(4242), None).expect("root may");
    std::fs::remove_file(job.path("w/shadow")).expect("removed");
    std::fs::hard_link(job.path("etc/shadow"), job.path("w/shadow")).expect("linked");
    expect_refused(&job, &["w/shadow: is now owned by 4242:0"]);
}

/// On a full file system, in a mount namespace of its own.
#[test]
fn a_failed_restart_leaves_no_copy_of_an_unlinked_file() {
    let text = r#"
        mkdir "$DIR/small" && mount -t tmpfs -o size=64k none "$DIR/small" || exit 99
        cd "$DIR" && mkfifo up || exit 98
        pid=$("$CAIRN" run --detach -- sh -c 'umask 077; exec 5<>small/file; head -c 40000 /dev/urandom >&5; rm small/file; : > up; \
              while :; do read x < /dev/null; done') || exit 97
        cat up && rm up
        "$CAIRN" checkpoint "$pid" -o context --kill > /dev/null || exit 96
        while kill -0 "$pid" 2> /dev/null; do :; done
        head -c 40000 /dev/urandom > small/other
        for i in 1 2 3; do "$CAIRN" restart --detach context; echo "code $?"; done
        ls -A small
    "#;
    let dir = tempfile::tempdir().expect("a directory");
    let run = cmd!("unshare", "--mount", "sh", "-c", text).env("DIR", dir.path()).env("CAIRN", CAIRN);
    let output = run.stdout_capture().stderr_capture().unchecked().run().expect("unshare starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "code 1\ncode 1\ncode 1\nother\n", "{}", complaint(&output));
    assert!(complaint(&output).contains("small/file (unlinked)"), "{}", complaint(&output));
}

/// A file that was its owner's alone when it lost its name is nobody else's for a moment, either:
/// it is filled and gets its permissions before it has a name, if it needs one.
#[test]
fn no_file_is_open_to_others_while_it_is_made() {
    let job = saved("umask 077; exec 5<>w/file; head -c 3000000 /dev/urandom >&5; rm w/file");
    let over = std::sync::atomic::AtomicBool::new(false);
    let directory = job.path("w");
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let names = std::fs::read_dir(&directory).expect("it is there").flatten();
                seen.extend(names.filter_map(|name| Some(name.metadata().ok()?.mode() & 0o7777)));
            }
            seen
        });
        for _ in 0..10 {
            assert_eq!(exit_code(&restart(&job)), 0);
            wait_for("the end of the job", || (job.kill(), job.is_gone()).1.then_some(()));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = watch.join().expect("it only looks");
        let open: Vec<String> =
            seen.iter().filter(|mode| *mode & 0o077 != 0).map(|mode| format!("{mode:o}")).collect();
        assert!(open.is_empty(), "modes of names: {open:?}");
    });
}

/// Names of unlinked files and directories are there for a moment; somebody takes them away when
/// cairn is killed then.
#[test]
fn killed_restarts_leave_no_names() {
    let job = saved(
        "umask 077; exec 5<>w/file; head -c 3000000 /dev/urandom >&5; rm w/file; mkdir w/d; exec 6<w/d; rmdir w/d",
    );
    let calm = Instant::now();
    assert_eq!(exit_code(&restart(&job)), 0);
    let whole = calm.elapsed();
    const MOMENTS: u32 = 100;
    for moment in 0..MOMENTS {
        let gone = || (job.kill(), job.is_gone()).1;
        wait_for("the end of the job", || gone().then_some(()));
        let mut front = std::process::Command::new(CAIRN)
            .args(["restart", "--detach"])
            .arg(job.path("context"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("cairn starts");
        // Most of them while files are made, in the first half.
        std::thread::sleep(whole * moment / MOMENTS / 2);
        // It may have ended already.
        let _ = front.kill();
        front.wait().expect("it was started");
        let names = || std::fs::read_dir(job.path("w")).expect("it is there").count();
        wait_for("the end of all names", || (names() == 0).then_some(()));
    }
}
