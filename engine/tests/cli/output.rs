//! Where a context file goes: what is there and no regular file stays what it is.

use super::*;
use rstest::rstest;

#[rstest]
#[case::link("ln -s /dev/null target", "a symbolic link")]
#[case::link_to_nowhere("ln -s nowhere target", "a symbolic link")]
#[case::fifo("mkfifo target", "a FIFO")]
#[case::directory("mkdir target", "a directory")]
#[case::device("mknod target c 1 3", "a device")]
fn what_is_no_regular_file_is_not_replaced(#[case] make: &str, #[case] what: &str) {
    let job = Job::counter();
    cmd!("sh", "-c", make).dir(job.dir.path()).run().expect("made");
    let kind = || std::fs::symlink_metadata(job.path("target")).expect("it is there").file_type();
    let before = kind();
    let output = job.checkpoint("target", &["--kill"]);
    assert_eq!(exit_code(&output), 1, "{}", complaint(&output));
    assert!(complaint(&output).contains(&format!("target is {what}, which a context file does not replace")));
    assert_eq!(kind(), before);
    job.await_progress();
}

/// On a file system without unnamed files a killed worker leaves a hidden name; the next checkpoint
/// takes it away.
#[test]
fn what_a_killed_worker_left_is_taken_away_by_the_next_checkpoint() {
    let job = Job::counter();
    let name = format!(".cairn-{:016x}-{}-0.partial", xxhash_rust::xxh3::xxh3_64(b"context"), 1);
    std::fs::write(job.path(&name), "half of it").expect("written");
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    assert!(!job.path(&name).exists());
}
