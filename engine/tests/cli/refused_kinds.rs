//! Kinds of state that no checkpoint can hold: each is refused before anything is changed, by
//! `check` as well, with the pid and in words that say what it is.

use super::python::Afterwards;
use super::*;
use rstest::rstest;

/// What the jobs have in common, beside what all have.
const PRELUDE: &str = r#"
import fcntl, resource, time

SEIZE, NEWNS, NEWUTS, NEWPID, NEWNET, NEWTIME = 0x4206, 0x20000, 0x4000000, 0x20000000, 0x40000000, 0x80

def pause():
    while True: C.pause()

# The main thread ends, and another goes on with `work` when that is a zombie.
def without_leader(work):
    def run():
        while open("/proc/self/stat").read().rsplit(")", 1)[1].split()[0] != "Z": time.sleep(0.01)
        work()
    threading.Thread(target=run).start()
    C.syscall({"x86_64": 60, "aarch64": 93, "ppc64le": 1}[MACHINE], 0)

# A process that is nobody's descendant; its number. It works when the one between is gone, whose
# end is a signal to the job.
def outside(work=lambda: None, rest=pause):
    (hears, tells), (waits, goes) = os.pipe(), os.pipe()
    between = os.fork()
    if between == 0:
        if os.fork() == 0:
            os.read(waits, 1)
            work()
            os.write(tells, str(os.getpid()).encode())
            for end in hears, tells, waits, goes: os.close(end)
            rest()
        os._exit(0)
    os.waitpid(between, 0)
    os.write(goes, b"x")
    number = int(os.read(hears, 20))
    for end in hears, tells, waits, goes: os.close(end)
    say("outsider", number)
    return number

# The state is there, and `who` has it; counts from now on.
def go_on(who=None):
    say("up", who or os.getpid())
    count = 0
    while True:
        count += 1
        say("count", count)
"#;

/// A job that brings itself into a state and then counts.
fn job(text: &str) -> Job {
    python::start(&format!("{PRELUDE}\n{text}\ngo_on()"))
}

/// Waits until the job has gone on from where it is; somebody may be tracing it, as before.
fn goes_on(job: &Job) {
    let before = job.count();
    wait_for("progress of the job", || (job.count() > before + 5).then_some(()));
}

/// Runs `cairn` with these arguments, but not for ever: some of these kinds could keep it busy
/// without an end.
fn bounded(args: &[&str]) -> Output {
    let limit = ["-s", "KILL", "30", CAIRN];
    let run = cmd("timeout", limit.iter().chain(args)).stdin_null().stdout_capture().stderr_capture();
    run.unchecked().run().expect("timeout starts")
}

/// Every word, in small letters, is said of the process, by both ways to ask, and the job runs on
/// as it was.
fn is_refused(job: &Job, words: &[&str]) {
    let Some(who) = python::up(job) else { return };
    goes_on(job);
    let tracer = status_field(job.pid, "TracerPid");
    let (pid, file) = (job.pid(), job.path("context"));
    for args in [&["check", &pid] as &[&str], &["checkpoint", &pid, "-o", file.to_str().expect("UTF-8")]] {
        let output = bounded(args);
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(exit_code(&output), 3, "{said}");
        let named = said
            .match_indices(&format!("pid {who}"))
            .any(|(at, name)| !said[at + name.len()..].starts_with(|next: char| next.is_ascii_digit()));
        assert!(named, "pid {who} is not named: {said}");
        let lines = said.lines().filter(|line| line.contains("pid "));
        let silent: Vec<&str> =
            lines.filter(|line| !line.contains("; ") && !line.contains(": save a tree")).collect();
        assert!(silent.is_empty(), "nothing that its user can do: {silent:?}");
        let small = said.to_lowercase();
        for word in words {
            assert!(small.contains(word), "{word:?} is not said: {said}");
        }
        // What somebody outside has, too, is told with who that is.
        if let Some(outsider) = python::said(job, "outsider").filter(|_| words.contains(&"outside")) {
            assert!(said.contains(&format!("process {outsider} (")), "{outsider} is not named: {said}");
        }
        assert!(!file.exists());
        assert_eq!(status_field(job.pid, "TracerPid"), tracer);
        goes_on(job);
    }
}

#[rstest]
#[case::allowed(0)]
#[case::blocked(1)]
fn syscall_user_dispatch(#[case] selector: u8) {
    // Calls from the C library are let through in either case.
    let text = r#"
for line in open("/proc/self/maps"):
    words = line.split()
    if "x" in words[1] and os.path.basename(words[-1]).startswith(("libc.so", "libc-")):
        start, end = (int(word, 16) for word in words[0].split("-"))
        break
else:
    skip("there is no C library to be seen")
selector = ctypes.c_char(SELECTOR)
call("prctl", 59, 1, start, end - start, ctypes.byref(selector), absent=[errno.EINVAL])
"#;
    is_refused(&job(&text.replace("SELECTOR", &selector.to_string())), &["dispatch"]);
}

#[rstest]
#[case::descriptor_of_the_ldt(&["ldt"], r#"
X86 or skip("only x86 has an LDT")
entry = struct.pack("=IIII", 0, 0x1000, 0xfff, 0x41)
call("syscall", 154, 0x11, entry, len(entry), absent=[errno.ENOSYS])
"#)]
#[case::descriptor_for_thread_local_storage(&["tls"], r#"
X86 or skip("only x86 has such descriptors")
entry = ctypes.create_string_buffer(struct.pack("=iIII", -1, 0x1000, 0xfffff, 0x51))
call("syscall", 205, entry, absent=[errno.ENOSYS])
"#)]
#[case::some_io_ports(&["i/o port"], r#"
X86 or skip("only x86 has I/O ports")
call("ioperm", 0x80, 1, 1, absent=[errno.ENOSYS, errno.EPERM])
"#)]
#[case::all_io_ports(&["i/o port"], r#"
X86 or skip("only x86 has I/O ports")
call("iopl", 3, absent=[errno.ENOSYS, errno.EPERM])
"#)]
#[case::core_scheduling_cookie(&["core scheduling"], r#"
call("prctl", 62, 1, 0, 0, 0, absent=[errno.EINVAL, errno.ENODEV])
"#)]
#[case::notification_of_a_directory(&["f_notify"], r#"
signal.signal(signal.SIGIO, signal.SIG_IGN)
os.mkdir("watched")
call("fcntl", os.open("watched", os.O_RDONLY), 1026, 0x80000004, absent=[errno.EINVAL])
"#)]
#[case::secret_memory(&["secret"], r#"
file = call("syscall", 447, 0, absent=[errno.ENOSYS])
os.ftruncate(file, 4096)
assert call("mmap", None, 4096, 3, 1, file, 0)
"#)]
#[case::secret_memory_without_a_descriptor(&["secret"], r#"
file = call("syscall", 447, 0, absent=[errno.ENOSYS])
os.ftruncate(file, 4096)
assert call("mmap", None, 4096, 3, 1, file, 0)
os.close(file)
"#)]
fn what_the_processor_and_the_kernel_keep(#[case] words: &[&str], #[case] text: &str) {
    is_refused(&job(text), words);
}

/// The description lives on with the mapping, and what it holds with it.
#[rstest]
#[case::lease("lease", "os.O_RDONLY", 1, "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)")]
// A restart opens it to be read.
#[case::lock_of_a_private_mapping(
    "lock",
    "os.O_RDWR",
    2,
    r#"fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))"#
)]
#[case::lock_and_two_mappings(
    "lock",
    "os.O_RDWR",
    1,
    r#"fcntl.flock(file, fcntl.LOCK_EX); call("mmap", None, 4096, 1, 1, os.open("data", os.O_RDONLY), 0)"#
)]
fn what_only_a_mapping_keeps(#[case] word: &str, #[case] how: &str, #[case] kind: i32, #[case] hold: &str) {
    let text = format!(
        r#"
with open("data", "w") as data: data.write("x" * 4096)
file = os.open("data", {how})
{hold}
assert call("mmap", None, 4096, 1, {kind}, file, 0)
os.close(file)
"#
    );
    is_refused(&job(&text), &[word]);
}

/// The kernel shows who took it, and not which mapping keeps it.
#[test]
fn what_a_mapping_outside_may_keep() {
    let map = "assert call('mmap', None, 4096, 1, 1, file, 0)\nos.close(file)";
    let lock = r#"fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))"#;
    let outside = job(&format!("file = os.open('data', os.O_RDWR | os.O_CREAT)\n{lock}\n{map}"));
    if python::up(&outside).is_none() {
        return;
    }
    let ours = job(&format!("file = os.open({:?}, os.O_RDWR)\n{map}", outside.path("data")));
    is_refused(&ours, &["file lock", &format!("process {}", outside.pid)]);
}

#[rstest]
#[case::semaphore_undo(&["semaphore"], r#"
id = call("semget", 0, 1, 0o1600)
say("semaphores", id)
call("semop", id, struct.pack("Hhh", 0, 3, 0x1000), 1)
"#, r#"call("semctl", int(open("semaphores").read()), 0, 0)"#)]
#[case::message_queue_that_notifies(&["fd ", "message queue", "mq_notify"], r#"
queue = call("mq_open", b"/cairn-refused-kinds", os.O_RDWR | os.O_CREAT, 0o600, None, absent=[errno.ENOSYS])
call("mq_notify", queue, struct.pack("qii48x", 0, signal.SIGURG, 0))
"#, r#"call("mq_unlink", b"/cairn-refused-kinds")"#)]
#[case::messages_in_a_queue_without_a_name(&["fd ", "1 messages would be lost"], r#"
name = b"/cairn-refused-kinds-%d" % os.getpid()
queue = call("mq_open", name, os.O_RDWR | os.O_CREAT, 0o600, None, absent=[errno.ENOSYS])
call("mq_unlink", name)
call("mq_send", queue, b"message", 7, 0)
"#, "")]
fn what_outlives_its_users(#[case] words: &[&str], #[case] text: &str, #[case] afterwards: &'static str) {
    let job = job(text);
    let afterwards = Afterwards(&job, afterwards);
    is_refused(&job, words);
    drop(afterwards);
}

/// A restart makes another main thread, which exits once more.
#[rstest]
#[case::another_group_than_the_rest(&["main thread has exited", "credentials"], r#"
def work():
    # Of this thread alone: not by the C library.
    call("syscall", {"x86_64": 119, "aarch64": 149, "ppc64le": 169}[MACHINE], 5, 5, 5)
    go_on()
without_leader(work)
"#)]
#[case::killed_by_a_seccomp_filter(&["main thread has exited", "seccomp"], r#"
number = {"x86_64": 60, "aarch64": 93, "ppc64le": 1}[MACHINE]
code = struct.pack("HBBI" * 4, 0x20, 0, 0, 0, 0x15, 0, 1, number, 6, 0, 0, 0, 6, 0, 0, 0x7fff0000)
code = ctypes.create_string_buffer(code, len(code))
call("prctl", 38, 1, 0, 0, 0)
call("prctl", 22, 2, struct.pack("HxxxxxxP", 4, ctypes.addressof(code)))
without_leader(go_on)
"#)]
fn a_main_thread_that_could_not_end_as_it_has(#[case] words: &[&str], #[case] text: &str) {
    is_refused(&job(text), words);
}

/// Memory that a process outside has mapped, too.
const SHARED_MEMORY: &str = r#"
assert call("mmap", None, 4096, 3, 0x21, -1, 0)
outside()
"#;
/// A memfd that a process outside maps, too.
const SHARED_FILE: &str = r#"
file = os.memfd_create("name")
os.ftruncate(file, 4096)
assert call("mmap", None, 4096, 3, 1, file, 0)
os.close(file)
outside()
"#;
/// The same; the job has a descriptor, and the process outside the mapping.
const SHARED_BY_DESCRIPTOR: &str = r#"
file = os.memfd_create("name")
os.ftruncate(file, 4096)
def work():
    assert call("mmap", None, 4096, 3, 1, file, 0)
    os.close(file)
outside(work)
"#;
/// A process outside has mapped it whose main thread has ended.
const SHARED_WITHOUT_LEADER: &str = r#"
assert call("mmap", None, 4096, 3, 0x21, -1, 0)
outside(rest=lambda: without_leader(lambda: (say("leaderless", "so"), pause())))
while not os.path.exists("leaderless"): time.sleep(0.01)
"#;
/// A description that a process outside has, too.
const SHARED_OFFSET: &str = r#"
file = os.open("data", os.O_RDWR | os.O_CREAT)
os.write(file, b"some bytes")
outside()
"#;
/// Another process in the same address space.
const SHARED_SPACE: &str = r#"
# A sibling, by CLONE_VM and CLONE_PARENT, that does nothing but pause.
stack = ctypes.create_string_buffer(1 << 16)
top = (ctypes.addressof(stack) + len(stack)) & ~0xff
sibling = call("clone", ctypes.cast(C.pause, ctypes.c_void_p), ctypes.c_void_p(top), 0x8100, None)
say("outsider", sibling)
"#;

#[rstest]
#[case::the_traced(&["trace"], r#"
victim = outside()
call("ptrace", SEIZE, victim, 0, 0, absent=[errno.EPERM])
"#)]
#[case::the_tracer(&["trace"], r#"
outside(lambda: call("ptrace", SEIZE, JOB, 0, 0))
"#)]
#[case::shared_memory(&["memory", "outside"], SHARED_MEMORY)]
#[case::shared_memory_without_a_leader(&["memory", "outside"], SHARED_WITHOUT_LEADER)]
#[case::the_memory_of_a_memfd(&["memory", "outside"], SHARED_FILE)]
#[case::the_memory_of_a_memfd_by_descriptor(&["fd ", "memory", "outside"], SHARED_BY_DESCRIPTOR)]
#[case::the_offset_of_a_file(&["data", "outside"], SHARED_OFFSET)]
#[case::the_count_of_an_eventfd(&["eventfd", "shared with", "outside"], "call(\"eventfd\", 3, 0)\noutside()")]
#[case::the_address_space(&["address space", "outside"], SHARED_SPACE)]
#[case::the_owner_of_a_descriptor(&["owner"], r#"
file = os.pipe()[0]
call("fcntl", file, 8, outside())
"#)]
fn what_a_process_outside_has_a_part_in(#[case] words: &[&str], #[case] text: &str) {
    is_refused(&job(&format!("JOB = os.getpid()\n{text}")), words);
}

/// The process outside that a job has made, which nothing else ends.
struct Outsider<'job>(&'job Job);

impl Outsider<'_> {
    fn number(&self) -> Option<i32> {
        python::said(self.0, "outsider")?.parse().ok()
    }
}

impl Drop for Outsider<'_> {
    fn drop(&mut self) {
        self.number().into_iter().for_each(|pid| harm::kill(pid, rustix::process::Signal::KILL));
    }
}

/// The job has copies of its own then.
#[rstest]
#[case::memory(SHARED_MEMORY)]
#[case::memory_of_a_memfd(SHARED_FILE)]
#[case::the_offset_of_a_file(SHARED_OFFSET)]
fn what_a_process_outside_shares_may_be_parted_on_demand(#[case] text: &str) {
    // In a group of its own: the job's number is to be free.
    let job = job(&text.replace("outside()", "outside(os.setsid)"));
    let outsider = Outsider(&job);
    if python::up(&job).is_none() {
        return;
    }
    goes_on(&job);
    let output = cairn(["check", "--shared", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}{}", String::from_utf8_lossy(&output.stdout), complaint(&output));
    let output = job.checkpoint("context", &["--shared", "--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let output = cairn(["restart", "--detach", job.path("context").to_str().expect("UTF-8")]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    goes_on(&job);
    let number = outsider.number().expect("it is told");
    assert!(Path::new(&format!("/proc/{number}")).exists(), "whoever is outside was none of ours");
}

/// It would be in the way of a restart, for as long as the process outside lives.
#[test]
fn a_lock_that_a_process_outside_would_keep_is_refused_also_on_demand() {
    let job = job(&format!("{SHARED_OFFSET}\nfcntl.flock(file, fcntl.LOCK_EX)")
        .replace("outside()", "outside(os.setsid)"));
    let _outsider = Outsider(&job);
    if python::up(&job).is_none() {
        return;
    }
    let output = job.checkpoint("context", &["--shared", "--kill"]);
    assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
    assert!(complaint(&output).contains("its lock would be in the way"), "{}", complaint(&output));
    goes_on(&job);
}

#[rstest]
#[case::network_of_a_thread("NEWNET", "net")]
#[case::names_of_a_thread("NEWUTS", "uts")]
fn namespaces_of_a_thread(#[case] flag: &str, #[case] word: &str) {
    let text = format!(
        r#"
inside = threading.Event()
def other():
    call("unshare", {flag}, absent=[errno.EPERM, errno.EINVAL])
    inside.set()
    threading.Event().wait()
threading.Thread(target=other, daemon=True).start()
inside.wait()
"#
    );
    is_refused(&job(&text), &["namespace", word]);
}

/// The process itself is in the namespace where it was.
#[rstest]
#[case::processes("NEWPID", "pid")]
#[case::clocks("NEWTIME", "time")]
fn namespaces_for_children(#[case] flag: &str, #[case] word: &str) {
    let text = format!(r#"call("unshare", {flag}, absent=[errno.EPERM, errno.EINVAL])"#);
    is_refused(&job(&text), &["namespace", &format!("{word}_for_children")]);
}

#[rstest]
#[case::mounts("")]
#[case::mounts_with_another_root(
    r#"
here = os.getcwd()
os.mkdir("root")
call("mount", b"/", b"root", None, 0x5000, None)
os.chroot("root")
os.chdir(here)
"#
)]
fn mount_namespaces(#[case] more: &str) {
    let text = format!(
        r#"
call("unshare", NEWNS, absent=[errno.EPERM])
call("mount", b"none", b"/", None, 0x44000, None)
{more}
"#
    );
    is_refused(&job(&text), &["mnt namespace"]);
}

/// A core was dumped, which its parent is told in the wait status. Nobody can end so without
/// dumping another.
#[test]
fn a_zombie_that_dumped_core() {
    let text = r#"
soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
child = os.fork()
if child == 0:
    os.abort()
ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
if ended.si_code != os.CLD_DUMPED:
    skip("no core is dumped here")
go_on(child)
"#;
    is_refused(&job(text), &["core"]);
}
