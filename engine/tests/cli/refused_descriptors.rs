//! Every kind of descriptor and mapping that is refused: by its number, in words that name its
//! kind, and with nothing touched.

use super::*;
use rstest::rstest;

/// What jobs in Python have at hand: `call` makes a system call, `hold` puts a descriptor at number
/// 9. What a kernel has not, or does not let us have, is told instead of being there.
const PRELUDE: &str = r#"
import ctypes, fcntl, glob, mmap, os, signal, socket, stat, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def tell(text):
    with open('up.new', 'w') as file: file.write(text)
    os.rename('up.new', 'up')
def skip(why):
    tell('skipped: ' + str(why))
    os._exit(0)
def checked(got):
    if got == -1: skip(os.strerror(ctypes.get_errno()))
    return got
def call(number, *args): return checked(libc.syscall(ctypes.c_long(number), *args))
def hold(fd):
    os.dup2(fd, 9)
    os.close(fd)
"#;

/// A job that has done what `text` says, and waits; nothing where it cannot be done here.
pub fn job_that(text: &str) -> Option<Job> {
    let job = Job::script("while [ ! -e job.py ]; do read x < /dev/null; done; exec python3 job.py");
    let text = format!(
        "{PRELUDE}\ntry:\n    pass\n{}\nexcept OSError as err: skip(err)\ntell('there')\ntime.sleep(600)\n",
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    );
    std::fs::write(job.path("job.new"), text).expect("written");
    std::fs::rename(job.path("job.new"), job.path("job.py")).expect("renamed");
    wait_for("the job's word", || job.path("up").exists().then_some(()));
    let told = std::fs::read_to_string(job.path("up")).expect("the job wrote it");
    if told == "there" {
        return Some(job);
    }
    eprintln!("{told}");
    None
}

/// Checks that checkpoint and check refuse it in these words, each after the process's number.
pub fn is_refused(job: &Job, words: &[&str]) {
    let before = job.mappings();
    for output in [job.checkpoint("context", &[]), cairn(["check", &job.pid()])] {
        assert_eq!(exit_code(&output), 3, "{}", complaint(&output));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("pid {}: ", job.pid)), "{said}");
        for word in words {
            assert!(said.contains(word), "no word of {word}: {said}");
        }
        let advice = |line: &str| line.contains("; ") || line.contains(": save a tree");
        let silent = said.lines().find(|line| line.contains(&format!("pid {}: ", job.pid)) && !advice(line));
        assert!(silent.is_none(), "nothing that its user can do: {silent:?}");
    }
    assert!(!job.path("context").exists());
    assert_eq!(job.mappings(), before);
}

fn refuses(text: &str, words: &[&str]) {
    if let Some(job) = job_that(text) {
        is_refused(&job, words);
    }
}

#[rstest]
#[case::pidfd(format!("hold(call({}, os.getppid(), 0))", libc::SYS_pidfd_open), "pidfd")]
#[case::userfaultfd(format!("hold(call({}, 0))", libc::SYS_userfaultfd), "userfaultfd")]
#[case::bpf(format!("hold(call({}, 0, struct.pack('IIIII', 2, 4, 4, 1, 0), 20))", libc::SYS_bpf), "bpf-map")]
#[case::perf(
    format!("hold(call({}, struct.pack('IIQ96x', 1, 112, 0), 0, -1, -1, 0))", libc::SYS_perf_event_open),
    "perf_event"
)]
#[case::landlock(
    format!("hold(call({}, ctypes.byref(ctypes.c_ulong(1)), ctypes.c_ulong(8), 0))", libc::SYS_landlock_create_ruleset),
    "landlock-ruleset"
)]
#[case::seccomp(
    format!("{LET_ALL}\nhold(call({}, 1, 8, program))", libc::SYS_seccomp),
    "seccomp notify"
)]
#[case::fscontext(format!("hold(call({}, b'tmpfs', 0))", libc::SYS_fsopen), "fscontext")]
#[case::kvm("hold(fcntl.ioctl(os.open('/dev/kvm', os.O_RDWR), 0xae01, 0))".to_owned(), "kvm-vm")]
fn an_anonymous_inode(#[case] text: String, #[case] kind: &str) {
    refuses(&text, &["fd 9", kind]);
}

/// A ring with four entries: `ring(flags)` is its descriptor, `params` its description.
const RING: &str = "params = ctypes.create_string_buffer(120)
def ring(flags=0):
    struct.pack_into('I', params, 8, flags)
    return call(425, 4, params)
def register(fd, opcode, argument, count): return call(427, fd, opcode, argument, count)
def number(at): return struct.unpack_from('I', params, at)[0]";

/// What is registered with it is not saved, and what is on its way cannot be.
#[rstest]
#[case::polled_by_a_thread("hold(ring(2))", "a kernel thread that polls it")]
#[case::for_a_thread_that_has_ended(
    "def make(): hold(ring(1 << 12))\nthread = threading.Thread(target=make)\nthread.start()\nthread.join()",
    "for one thread only"
)]
#[case::of_one_thread_with_an_eventfd(
    "fd = ring(1 << 12 | 1 << 13)\nregister(fd, 4, struct.pack('i', os.eventfd(0)), 1)\nhold(fd)",
    "has registered an eventfd"
)]
#[case::not_enabled_and_with_other_counters(
    "fd = ring(1 << 6)
rings = mmap.mmap(fd, 4096)
for at in 40, 44, 80, 84: struct.pack_into('I', rings, number(at), 5)
hold(fd)",
    "is not enabled yet"
)]
#[case::not_enabled_with_restrictions(
    "fd = ring(1 << 6)\nregister(fd, 11, struct.pack('HBB12x', 1, 0, 0), 1)\nhold(fd)",
    "with restrictions"
)]
#[case::with_restrictions(
    "fd = ring(1 << 6)\nregister(fd, 11, struct.pack('HBB12x', 0, 12, 0), 1)\nregister(fd, 12, None, 0)\nhold(fd)",
    "with restrictions"
)]
#[case::with_an_eventfd(
    "fd = ring()\nregister(fd, 4, struct.pack('i', os.eventfd(0)), 1)\nhold(fd)",
    "has registered an eventfd"
)]
#[case::with_files("fd = ring()\nregister(fd, 2, struct.pack('i', 1), 1)\nhold(fd)", "has registered files")]
#[case::without_its_descriptor(
    "fd = ring()\nregister(fd, 20, struct.pack('IIQ', 0xffffffff, 0, fd), 1)\nhold(fd)",
    "has registered an io_uring (IORING_REGISTER_RING_FDS)"
)]
#[case::in_memory_of_the_program(
    "memory = mmap.mmap(-1, 1 << 16)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
struct.pack_into('Q', params, 72, at)
struct.pack_into('Q', params, 112, at + (1 << 15))
hold(ring(1 << 14))",
    "has the memory of its program as queues"
)]
#[case::with_a_poll_in_flight(
    "fd = ring()
rings, requests = mmap.mmap(fd, 4096), mmap.mmap(fd, 256, offset=0x10000000)
struct.pack_into('BBHiQQIIQ', requests, 0, 6, 0, 0, os.pipe()[0], 0, 0, 0, 1, 7)
struct.pack_into('I', rings, number(44), 1)
call(426, fd, 1, 0, 0, None, 0)
hold(fd)",
    "waits for descriptors to become ready"
)]
#[case::with_a_timeout_in_flight(
    "fd = ring()
rings, requests = mmap.mmap(fd, 4096), mmap.mmap(fd, 256, offset=0x10000000)
time_limit = ctypes.create_string_buffer(struct.pack('qq', 600, 0), 16)
struct.pack_into('BBHiQQIIQ', requests, 0, 11, 0, 0, -1, 0, ctypes.addressof(time_limit), 1, 0, 7)
struct.pack_into('I', rings, number(44), 1)
call(426, fd, 1, 0, 0, None, 0)
hold(fd)",
    "has requests in flight"
)]
#[case::without_any_descriptor(
    "fd = ring()
libc.mmap.restype = ctypes.c_void_p
libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
hold(0)",
    "without a descriptor"
)]
#[case::without_its_own_descriptor(
    "fd, other = ring(), ring()
libc.mmap.restype = ctypes.c_void_p
libc.mmap(None, ctypes.c_size_t(4096), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
hold(other)",
    "without a descriptor"
)]
fn an_io_uring(#[case] text: &str, #[case] words: &str) {
    refuses(&format!("{RING}\n{text}"), &[words]);
}

#[test]
fn a_one_shot_watch_that_was_reported() {
    let text = "import select\npoll = select.epoll()\nfd = os.open('/dev/null', os.O_RDWR)\n\
        read, write = os.pipe()\npoll.register(write, select.EPOLLOUT | select.EPOLLONESHOT)\n\
        poll.poll()\nhold(poll.fileno())";
    refuses(text, &["fd 9", "one-shot watch"]);
}

#[test]
fn a_pidfd_of_what_has_been_waited_for() {
    let child = "child = os.fork()\nif child == 0: os._exit(0)";
    let text =
        format!("{child}\nfd = call({}, child, 0)\nos.waitpid(child, 0)\nhold(fd)", libc::SYS_pidfd_open);
    refuses(&text, &["fd 9", "pidfd of a process that has exited"]);
}

#[test]
fn a_handle_to_an_anonymous_inode() {
    let eventfd = format!("fd = call({}, 0, 0)", libc::SYS_eventfd2);
    let text = format!("{eventfd}\nhold(os.open('/proc/self/fd/%d' % fd, os.O_PATH))");
    refuses(&text, &["fd 9", "eventfd", "O_PATH"]);
}

/// A filter of seccomp that allows every call.
pub const LET_ALL: &str = "allow = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000), 8)
program = struct.pack('HxxxxxxP', 1, ctypes.addressof(allow))
checked(libc.prctl(38, 1, 0, 0, 0))";

#[rstest]
#[case::raw("hold(socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).detach())")]
#[case::audit("hold(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9).detach())")]
#[case::vsock("hold(socket.socket(socket.AF_VSOCK).detach())")]
#[case::cryptography("hold(socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).detach())")]
#[case::packet("hold(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).detach())")]
fn a_socket(#[case] text: &str) {
    refuses(text, &["fd 9", "socket"]);
}

#[rstest]
#[case::handle("hold(os.open('/dev/tty', os.O_PATH))", "terminal")]
#[case::messages("hold(os.open('/dev/kmsg', os.O_RDONLY))", "character device")]
#[case::tunnel("hold(os.open('/dev/net/tun', os.O_RDWR))", "character device")]
#[case::block(
    "disks = [path for path in glob.glob('/dev/*') if stat.S_ISBLK(os.stat(path).st_mode)]
if not disks: skip('no block device')
hold(os.open(disks[0], os.O_RDONLY))",
    "block device"
)]
fn a_terminal_or_another_device(#[case] text: &str, #[case] kind: &str) {
    refuses(text, &["fd 9", kind]);
}

#[test]
fn a_file_whose_names_are_elsewhere() {
    let text = "os.makedirs('a/b'); os.makedirs('c/d')
hold(os.open('a/b/old', os.O_RDWR | os.O_CREAT))
os.link('a/b/old', 'c/d/new'); os.unlink('a/b/old')";
    refuses(text, &["fd 9", "a/b/old", "1 other name", "link it to its old name"]);
}

#[test]
fn a_memfd_in_huge_pages() {
    refuses("hold(os.memfd_create('name', os.MFD_HUGETLB))", &["fd 9", "a memfd in huge pages"]);
}

/// It would be waited for by whoever looks at that file system.
#[test]
fn a_file_system_of_its_own() {
    refuses("hold(os.open('/dev/fuse', os.O_RDWR))", &["fd 9", "serves a file system"]);
}

#[test]
fn a_namespace_that_nobody_is_in() {
    let text = "import subprocess
child = subprocess.Popen(['unshare', '--uts', 'sh', '-c', 'echo; cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
if not child.stdout.readline(): skip('no namespaces')
hold(os.open('/proc/%d/ns/uts' % child.pid, os.O_RDONLY))
child.stdin.close()
child.stdout.close()
child.wait()";
    refuses(text, &["fd 9", "uts:[", "a namespace in which cairn is not"]);
}

/// What its path leads to in it is not what it leads to outside.
#[test]
fn a_detached_mount() {
    refuses("os.mkdir('inside')\nhold(call(428, -100, b'inside', 1))", &["fd 9"]);
}

/// What a restart could not open again, or would open for something else.
#[rstest]
#[case::of_a_zombie(
    "r, w = os.pipe()
child = os.fork()
if child == 0:
    os.close(w)
    os.read(r, 1)
    os._exit(3)
file = os.open(f'/proc/{child}/mem', os.O_RDONLY)
os.close(w)
while open(f'/proc/{child}/stat').read().split()[2] != 'Z': pass
hold(file)",
    "cannot be opened any more"
)]
#[case::of_a_descriptor_that_is_closed(
    "null = os.open('/dev/null', os.O_RDONLY)
hold(os.open(f'/proc/self/fdinfo/{null}', os.O_RDONLY))
os.close(null)",
    "about what is gone"
)]
#[case::of_a_former_address_space(
    "if len(sys.argv) == 1:
    os.dup2(os.open('/proc/self/maps', os.O_RDONLY), 9, inheritable=True)
    os.execvp('python3', ['python3', 'job.py', 'again'])",
    "replaced by execve"
)]
#[case::of_a_thread_by_its_own_number(
    "told = []
def other():
    told.append(threading.get_native_id())
    time.sleep(600)
threading.Thread(target=other, daemon=True).start()
while not told: pass
hold(os.open(f'/proc/{told[0]}/stat', os.O_RDONLY))",
    "by a number of its own"
)]
fn a_file_of_proc(#[case] text: &str, #[case] what: &str) {
    refuses(text, &["fd 9", what]);
}

/// Nothing puts them back into the queue, and the file system of /proc finds no file by its handle.
#[rstest]
#[case::with_events(
    "checked(libc.inotify_add_watch(9, b'.', 0x100))
open('new', 'w').close()",
    "events that have not been read"
)]
#[case::of_a_file_that_is_not_found(
    "checked(libc.inotify_add_watch(9, b'/proc/self/status', 2))",
    "whose path the file system does not tell"
)]
#[case::that_would_be_told_of_an_unlinked_file(
    "checked(libc.inotify_add_watch(9, b'.', 0xfff))
kept = os.open('gone', os.O_RDWR | os.O_CREAT)
os.unlink('gone')
os.read(9, 4096)",
    "a checkpoint would be an event"
)]
#[case::that_watches_proc("checked(libc.inotify_add_watch(9, b'/proc', 0x20))", "which a checkpoint does")]
#[case::that_would_be_told_of_a_fifo(
    "os.mkfifo('fifo')
kept = os.open('fifo', os.O_RDWR)
checked(libc.inotify_add_watch(9, b'fifo', 1))",
    "a checkpoint would be an event"
)]
fn an_inotify_instance(#[case] text: &str, #[case] what: &str) {
    let init = format!("hold(call({}, 0))", libc::SYS_inotify_init1);
    refuses(&format!("{init}\n{text}"), &[what]);
}

/// A mark of these events, 0x10 of a mount and 0x100 of a file system.
#[rstest]
#[case::with_events("mark(0, 2, b'data')\nopen('data', 'w').write('x')", "events that have not been read")]
#[case::that_others_wait_for("mark(0, 0x20000, b'data')", "ask for permission")]
#[case::that_watches_a_mount("mark(0x10, 0x20, b'.')", "which a checkpoint does")]
#[case::that_watches_a_file_system("mark(0x100, 0x10, b'.')", "which a checkpoint does")]
fn a_fanotify_group(#[case] text: &str, #[case] what: &str) {
    let init = format!(
        "open('data', 'w').close()
hold(call({}, 4, 0))
def mark(flags, mask, path): checked(libc.fanotify_mark(9, 1 | flags, ctypes.c_uint64(mask), -100, path))",
        libc::SYS_fanotify_init
    );
    refuses(&format!("{init}\n{text}"), &[what]);
}

/// At a restart the mapping would be another open of the file, with which there is no lease.
#[test]
fn a_lease_of_a_mapped_file() {
    let text = "hold(os.open('data', os.O_RDWR | os.O_CREAT))
os.ftruncate(9, 4096)
kept = mmap.mmap(9, 4096)
fcntl.fcntl(9, 1024, 1)";
    refuses(text, &["data", "has a lease"]);
}

#[test]
fn a_lease_of_an_unlinked_file() {
    let text = "hold(os.open('data', os.O_RDWR | os.O_CREAT))
fcntl.fcntl(9, 1024, 1)
os.unlink('data')";
    refuses(text, &["fd 9", "a lease of an unlinked file"]);
}

#[rstest]
#[case::asynchronous_io(format!("call({}, 4, ctypes.byref(ctypes.c_ulong(0)))", libc::SYS_io_setup), "whether requests are in flight; destroy it first")]
#[case::of_events(
    format!("fd = call({}, struct.pack('IIQ96x', 1, 112, 0), 0, -1, -1, 0)
kept = mmap.mmap(fd, 4096 * 2)
os.close(fd)", libc::SYS_perf_event_open),
    "perf_event"
)]
fn a_mapping(#[case] text: String, #[case] kind: &str) {
    refuses(&text, &["mapping ", kind]);
}
