//! Root directories that are not cairn's.

use super::*;

/// Device and inode number of the root directory are those of everybody's: it is the mount that
/// differs.
#[test]
fn a_root_that_is_another_mount_of_the_root_comes_back() {
    // In a mount namespace of its own, job and cairn together.
    let text = r#"
        cd "$DIR" && mkdir root && mount --rbind / root && mkfifo up || exit 99
        job='cd "$DIR" && : > up; while :; do read x < /dev/null; done'
        pid=$("$CAIRN" run --detach -o out -- chroot root sh -c "$job") || exit 98
        cat up && rm up
        "$CAIRN" checkpoint "$pid" -o context --kill > /dev/null || exit 97
        while kill -0 "$pid" 2> /dev/null; do :; done
        "$CAIRN" restart --detach context > /dev/null || exit 96
        readlink "/proc/$pid/root"
        kill -KILL "$pid"
    "#;
    let dir = tempfile::tempdir().expect("a directory");
    let run = cmd!("unshare", "--mount", "sh", "-c", text).env("DIR", dir.path()).env("CAIRN", CAIRN);
    let output = run.stdout_capture().stderr_capture().unchecked().run().expect("unshare starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{}/root\n", dir.path().display()), "{}", complaint(&output));
}
