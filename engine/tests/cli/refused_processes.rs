//! What processes and threads have that is refused: named by pid and thread, and with nothing
//! touched.

use super::refused_descriptors::{LET_ALL, is_refused, job_that};
use super::*;
use rstest::rstest;

fn refuses(text: &str, words: &[&str]) {
    if let Some(job) = job_that(text) {
        is_refused(&job, words);
    }
}

#[test]
fn a_seccomp_filter_that_asks_another_process() {
    let ask = LET_ALL.replace("0x7fff0000", "0x7fc00000");
    let others = "instructions = struct.pack('HBBI', 0x20, 0, 0, 0) + struct.pack('HBBI', 0x15, 0, 1, 0xffff) + allow.raw + struct.pack('HBBI', 6, 0, 0, 0x7fff0000)
code = ctypes.create_string_buffer(instructions, len(instructions))
program = struct.pack('HxxxxxxP', 4, ctypes.addressof(code))";
    let text = format!("{ask}\n{others}\ncall({}, 1, 0, program)", libc::SYS_seccomp);
    refuses(&text, &["thread", "seccomp filter that may notify another process"]);
}

#[rstest]
#[case::names(libc::CLONE_NEWUTS, "uts")]
#[case::objects(libc::CLONE_NEWIPC, "ipc")]
#[case::network(libc::CLONE_NEWNET, "net")]
#[case::mounts(libc::CLONE_NEWNS, "mnt")]
#[case::groups(libc::CLONE_NEWCGROUP, "cgroup")]
#[case::users(libc::CLONE_NEWUSER, "user")]
fn another_namespace(#[case] flag: i32, #[case] name: &str) {
    refuses(&format!("checked(libc.unshare({flag}))"), &[&format!("in a different {name} namespace")]);
}

/// A grandchild shares with the root, and the child between them has left.
#[rstest]
#[case::descriptors(libc::CLONE_FILES, "shares its descriptor table with pid")]
#[case::directories(libc::CLONE_FS, "shares its working directory and umask with pid")]
fn what_relatives_share_that_could_not_create_each_other(#[case] flag: i32, #[case] what: &str) {
    let text = format!(
        "shared, number = mmap.mmap(-1, 4096), {clone}
flags = {flag} | signal.SIGCHLD
if checked(libc.syscall(number, flags, 0, 0, 0, 0)) == 0:
    if libc.syscall(number, flags, 0, 0, 0, 0) == 0:
        libc.pause()
    libc.unshare({flag})
    shared[0] = 1
    libc.pause()
while shared[0] == 0: time.sleep(0.01)",
        clone = libc::SYS_clone
    );
    let Some(job) = job_that(&text) else { return };
    for output in [job.checkpoint("context", &[]), cairn(["check", &job.pid()])] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        let whole = format!("{what} {}, but neither with its parent nor with a sibling", job.pid);
        assert!(said.contains(&whole), "{said}");
    }
    assert!(!job.path("context").exists());
}

#[rstest]
#[case::descriptors(&format!("unshare({})", libc::CLONE_FILES), "descriptor table of its own")]
#[case::directories(&format!("unshare({})", libc::CLONE_FS), "working directory and umask of its own")]
#[case::domain(&format!("personality({})", libc::ADDR_NO_RANDOMIZE), "execution domain of its own")]
fn what_a_thread_has_for_itself(#[case] call: &str, #[case] what: &str) {
    let text = format!(
        "done = threading.Event()
def part():
    checked(libc.{call})
    done.set()
    time.sleep(600)
threading.Thread(target=part, daemon=True).start()
done.wait()"
    );
    refuses(&text, &["thread", what]);
}

#[test]
fn somebody_traced() {
    let job = Job::counter();
    let Some(_tracer) = job_that(&format!("checked(libc.ptrace(0x4206, {}, None, None))", job.pid)) else {
        return;
    };
    assert_ne!(status_field(job.pid, "TracerPid").as_deref(), Some("0"));
    for output in [
        job.checkpoint("context", &["--source", "ptrace"]),
        cairn(["check", "--source", "ptrace", &job.pid()]),
    ] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("traced") && said.contains(&job.pid()), "{said}");
    }
    assert!(!job.path("context").exists());
}

/// A far return into the kernel's segment for 32-bit code, where a jump to itself waits.
#[test]
#[cfg(target_arch = "x86_64")]
fn code_of_32_bits() {
    let job = Job::script("while [ ! -e job.py ]; do read x < /dev/null; done; exec python3 job.py");
    let text = "
import ctypes, mmap, struct, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_long
at = libc.mmap(0, 4096, 7, 0x62, -1, 0)
code = b'\\x6a\\x23' + b'\\x68' + struct.pack('I', at + 64) + b'\\x48\\xcb'
ctypes.memmove(at, code, len(code))
ctypes.memmove(at + 64, b'\\xeb\\xfe', 2)
threading.Thread(target=ctypes.CFUNCTYPE(None)(at), daemon=True).start()
open('up', 'w').close()
time.sleep(600)
";
    std::fs::write(job.path("job.new"), text).expect("written");
    std::fs::rename(job.path("job.new"), job.path("job.py")).expect("renamed");
    wait_for("the job's word", || job.path("up").exists().then_some(()));
    // Between its word and the jump there may be a moment.
    let said = wait_for("the refusal", || {
        let output = cairn(["check", &job.pid()]);
        (exit_code(&output) == 3).then(|| complaint(&output) + &String::from_utf8_lossy(&output.stdout))
    });
    assert!(said.contains(&format!("pid {}: thread", job.pid)) && said.contains("32-bit code"), "{said}");
    is_refused(&job, &["32-bit code"]);
}

/// Few processors have either.
#[rstest]
#[case::tiles("call(158, 0x1023, 18)", "AMX tiles")]
#[case::tagged_addresses("call(158, 0x4002, 6)", "tagged addresses")]
#[cfg(target_arch = "x86_64")]
fn tiles_or_tagged_addresses(#[case] text: &str, #[case] what: &str) {
    refuses(text, &[what]);
}

/// A thread that enters a domain without rules which handles the removal of directories, or
/// connections by TCP.
const DOMAIN: &str = "
def restrict(handled=struct.pack('Q', 1 << 4)):
    checked(libc.prctl(38, 1, 0, 0, 0))
    rules = call(444, handled, ctypes.c_long(len(handled)), 0)
    call(446, rules, 0)
    os.close(rules)
network = struct.pack('QQ', 0, 1 << 1)
def become_user():
    os.chmod('.', 0o777)
    checked(libc.syscall(SETRESGID, 4242, 4242, 4242))
    checked(libc.syscall(SETRESUID, 4242, 4242, 4242))
    checked(libc.prctl(4, 1, 0, 0, 0))
def in_a_thread(work):
    done = threading.Event()
    def part():
        work()
        done.set()
        time.sleep(600)
    threading.Thread(target=part, daemon=True).start()
    done.wait()
";

fn domain(text: &str) -> String {
    let numbers = format!("SETRESUID, SETRESGID = {}, {}", libc::SYS_setresuid, libc::SYS_setresgid);
    format!("{numbers}\n{DOMAIN}\n{text}")
}

#[rstest]
#[case::of_root("restrict()", "pid ")]
#[case::of_root_for_the_network("restrict(network)", "pid ")]
#[case::of_a_user("become_user(); restrict()", "pid ")]
#[case::of_a_user_for_the_network("become_user(); restrict(network)", "pid ")]
#[case::of_a_user_from_before("restrict(); become_user()", "pid ")]
#[case::of_a_thread("in_a_thread(restrict)", "thread ")]
#[case::of_a_thread_of_a_user("become_user(); in_a_thread(restrict)", "thread ")]
fn a_landlock_domain(#[case] text: &str, #[case] who: &str) {
    refuses(&domain(text), &[who, "restricted by Landlock"]);
}

/// They are asked, and nobody restricts them.
#[rstest]
#[case::of_a_user("become_user()")]
#[case::of_a_thread_of_a_user("in_a_thread(become_user)")]
fn a_process_without_a_landlock_domain_is_saved(#[case] text: &str) {
    let Some(job) = job_that(&domain(text)) else { return };
    let output = job.checkpoint("context", &[]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
}

#[test]
fn a_landlock_domain_that_cairn_is_in_is_no_reason() {
    let text = format!(
        "import subprocess
restrict()
job = subprocess.check_output([{CAIRN:?}, 'run', '--detach', '--', 'sleep', '600'], text=True).strip()
code = subprocess.call([{CAIRN:?}, 'checkpoint', job, '-o', 'context'])
os.kill(int(job), signal.SIGKILL)
with open('code', 'w') as file: file.write(str(code))"
    );
    let Some(job) = job_that(&domain(&text)) else { return };
    assert_eq!(std::fs::read_to_string(job.path("code")).expect("the job wrote it"), "0");
}

#[rstest]
#[case::of_the_process(-2, "pid ", "process keyring", "add()")]
#[case::of_the_thread(-1, "pid ", "thread keyring", "add()")]
#[case::of_another_thread(-1, "thread ", "thread keyring", "in_a_thread(add)")]
fn keys(#[case] keyring: i32, #[case] who: &str, #[case] what: &str, #[case] text: &str) {
    let add = format!(
        "def add(): call({}, b'user', b'cairn', b'secret', ctypes.c_long(6), {keyring})",
        libc::SYS_add_key
    );
    refuses(&domain(&format!("{add}\n{text}")), &[who, what]);
}
