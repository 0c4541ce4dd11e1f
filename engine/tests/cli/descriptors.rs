//! Descriptor tables that are as large as the limit allows, restarted under the same limit.

use super::*;

/// Runs a job in Python and cairn under a hard limit of open files; `check` is asked afterwards, as
/// Python in the job.
fn around(limit: u32, prepare: &str, check: &str) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    let job = format!(
        "
import os, time
{prepare}
open('up', 'w').close()
while not os.path.exists('go'): time.sleep(.001)
{check}
open('verdict', 'w').write('as it was')
"
    );
    std::fs::write(dir.path().join("job.py"), job).expect("written");
    let text = r#"
        ulimit -n "$LIMIT" || exit 99
        pid=$("$CAIRN" run --detach -- python3 job.py) || exit 98
        while [ ! -e up ]; do kill -0 "$pid" || exit 97; done
        "$CAIRN" check "$pid" > checked; checked=$?
        "$CAIRN" checkpoint "$pid" -o context --kill > /dev/null || {
            kill -0 "$pid" && echo "alive, check $checked, $(ls)"
            cat checked
            kill -s KILL -- "-$pid"
            exit 96
        }
        while kill -0 "$pid" 2> /dev/null; do :; done
        : > go
        setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource "$CAIRN" restart context && cat verdict
    "#;
    let run = cmd!("timeout", "60", "sh", "-c", text)
        .env("CAIRN", CAIRN)
        .env("LIMIT", limit.to_string())
        .dir(dir.path());
    run.stdin_null().stdout_capture().stderr_capture().unchecked().run().expect("sh starts")
}

fn expect_as_it_was(output: &Output) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((exit_code(output), said.as_str()), (0, "as it was"), "{}", complaint(output));
}

#[test]
fn a_descriptor_just_below_the_hard_limit_comes_back() {
    let output = around(
        256,
        "r, w = os.pipe(); os.dup2(w, 255); os.close(w); os.write(255, b'x')",
        "assert os.read(r, 9) == b'x' and os.write(255, b'y') == 1",
    );
    expect_as_it_was(&output);
}

#[test]
fn a_table_full_of_pipes_comes_back() {
    let output = around(
        1024,
        "pipes = [os.pipe() for _ in range(485)]\nfor r, w in pipes: os.write(w, b'x')",
        "for r, w in pipes: assert os.read(r, 9) == b'x'",
    );
    expect_as_it_was(&output);
}

/// Two processes have more between them than one may have: what could not be restarted is not
/// killed.
#[test]
fn more_than_the_limit_admits_is_refused_with_numbers() {
    let output = around(
        128,
        "for _ in range(60): os.pipe()\nif os.fork() == 0: os.closerange(3, 120); [os.pipe() for _ in range(60)]",
        "pass",
    );
    assert_eq!(exit_code(&output), 96, "{}", complaint(&output));
    let said = complaint(&output);
    let words = ["descriptors at once", "the hard limit is 128", "`ulimit -Hn`"];
    let told = String::from_utf8_lossy(&output.stdout);
    for text in [&said, told.as_ref()] {
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    // It lives, and there is no context file.
    assert!(told.starts_with("alive, check 3, cairn.out\nchecked\njob.py\nup\n"), "{told}");
}
