//! Tests that boot guests with real kernels. They are ignored by default and need an archive or a
//! filled cache:
//!
//! ```text
//! cargo test -p cairn-qemu --test boots -- --ignored
//! ```
//!
//! `CAIRN_BOOT_KERNELS` names the kernels (selectors separated by spaces; default: 6.12),
//! `CAIRN_BOOT_ARCH` the architecture (default: x86_64). PID 1 for another architecture than this
//! machine's has to be built beforehand: `CAIRN_BOOT_INIT` names it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cairn_qemu::accel::Accel;
use cairn_qemu::guest::{Boot, Cause, End, Event, Guest};
use cairn_qemu::initramfs::{self, Builder};
use cairn_qemu::job::JobFile;
use cairn_qemu::kernels::{self, Kernel, Matrix, Options};
use cairn_qemu::machine::Machine;
use cairn_qemu::progress::Stderr;
use cairn_qemu::splat::Kind;
use cairn_qemu::{Arch, Cache, GuestJob, probe, setup};

/// PID 1 of the guests.
fn init() -> &'static Path {
    static INIT: OnceLock<PathBuf> = OnceLock::new();
    INIT.get_or_init(|| {
        let given = std::env::var_os("CAIRN_BOOT_INIT");
        given.map_or_else(|| env!("CARGO_BIN_EXE_cairn-init").into(), PathBuf::from)
    })
}

fn cache() -> &'static Cache {
    static CACHE: OnceLock<Cache> = OnceLock::new();
    CACHE.get_or_init(|| Cache::from_env().unwrap())
}

/// The kernels to test, how guests are executed, and a shell for them.
fn kernels() -> &'static (Vec<Kernel>, Accel, PathBuf) {
    static KERNELS: OnceLock<(Vec<Kernel>, Accel, PathBuf)> = OnceLock::new();
    KERNELS.get_or_init(|| {
        let progress = Stderr::default();
        let arch: Arch = std::env::var("CAIRN_BOOT_ARCH").as_deref().unwrap_or("x86_64").parse().unwrap();
        let machine = Machine::of(arch);
        let needs = [machine.need(), setup::Need::GPGV, setup::Need::KEYRING];
        setup::ensure(&needs, false, &progress).unwrap();
        let matrix = Matrix::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../matrix.toml")).unwrap();
        let wanted = std::env::var("CAIRN_BOOT_KERNELS").unwrap_or_else(|_| "6.12".into());
        let selectors: Vec<_> = wanted.split_whitespace().map(|s| s.parse().unwrap()).collect();
        let options = Options {
            arch,
            mirror: None,
            keyring: None,
            offline: false,
            cache: cache(),
            progress: &progress,
        };
        let kernels = kernels::resolve(&matrix, &selectors, &options).unwrap().kernels;
        let accel = probe::probe(&kernels[0], init(), cache(), &progress).unwrap();
        let busybox = kernels::extra::busybox(&matrix, &options).unwrap();
        (kernels, accel, busybox)
    })
}

/// Output of one guest.
struct Said {
    lines: Vec<String>,
    console: Vec<String>,
    booted: bool,
    end: End,
    took: Duration,
}

/// Boots every kernel with a shell script as the job.
fn shell(script: &str, adjust: impl Fn(&mut GuestJob, &mut Patience), check: impl Fn(&Kernel, Said)) {
    let (kernels, accel, busybox) = kernels();
    for kernel in kernels {
        let builder = Builder::new(kernel, init()).unwrap();
        let (builder, _) = initramfs::add_shell(builder, Some(busybox)).unwrap();
        let base = builder.build(cache()).unwrap();
        let mut job =
            GuestJob { command: vec!["/bin/sh".into(), "-c".into(), script.into()], ..GuestJob::default() };
        let mut patience = Patience::default();
        adjust(&mut job, &mut patience);
        let dir = tempfile::tempdir().unwrap();
        let mut boot = Boot::new(kernel, &base, &job, dir.path(), accel.clone());
        boot.boot_timeout = patience.boot.unwrap_or(boot.boot_timeout * 4);
        boot.idle_timeout = patience.idle.unwrap_or(boot.idle_timeout);
        boot.total_timeout = patience.total.unwrap_or(boot.total_timeout);
        boot.extra_cmdline = patience.cmdline;
        let start = Instant::now();
        let (mut lines, mut console, mut booted, mut end) = (vec![], vec![], false, None);
        for event in Guest::boot(&boot).unwrap() {
            match event {
                Event::Booted(info) => {
                    assert_eq!(info.release, kernel.release);
                    assert!(info.warnings.is_empty(), "{:?}", info.warnings);
                    booted = true;
                }
                Event::Line(line) => lines.push(line),
                Event::Console(line) => console.push(line),
                Event::Splat(_) => {}
                Event::Ended(how) => end = Some(how),
            }
        }
        let log = std::fs::read_to_string(dir.path().join("console.log")).unwrap();
        assert_eq!(log.lines().count(), console.len());
        let end = end.expect("the last event is the end");
        check(kernel, Said { lines, console, booted, end, took: start.elapsed() });
    }
}

#[derive(Default)]
struct Patience {
    boot: Option<Duration>,
    idle: Option<Duration>,
    total: Option<Duration>,
    cmdline: String,
}

#[test]
#[ignore = "boots guests"]
fn a_job_has_what_it_was_promised() {
    let script = r#"
        echo "word $WORD"; pwd; cat /etc/extra
        cat /proc/sys/kernel/pid_max
        test $(cat /proc/sys/vm/nr_hugepages) -ge 8 && echo huge pages
        grep -c hugetlbfs /proc/mounts; test -c /dev/ptmx && test -c /dev/pts/ptmx && echo ptys
        cat /sys/class/net/lo/operstate; cat /sys/class/net/lo/flags
        for d in /tmp /run /dev/shm /var/tmp; do echo x > $d/probe && echo "$d ok"; done
        readlink /proc/self/fd/0
        echo to the console >&2
        exit 7"#;
    shell(
        script,
        |job, _| {
            job.env.insert("WORD".into(), "a b".into());
            job.cwd = Some("/cells/here".into());
            job.huge_mib = 16;
            job.files = vec![JobFile { path: "/etc/extra".into(), mode: 0o600, data: b"extra\n".to_vec() }];
        },
        |_, said| {
            assert_eq!(
                said.lines,
                [
                    "word a b",
                    "/cells/here",
                    "extra",
                    "4194304",
                    "huge pages",
                    "1",
                    "ptys",
                    "unknown",
                    "0x9",
                    "/tmp ok",
                    "/run ok",
                    "/dev/shm ok",
                    "/var/tmp ok",
                    "/dev/null"
                ]
            );
            assert!(said.console.iter().any(|line| line.contains("to the console")));
            assert_eq!(said.end.cause, Cause::Finished);
            let init = said.end.init.unwrap();
            assert_eq!((init.code, init.signal, init.taint), (Some(7), None, 0));
            assert_eq!(init.strays, [""; 0]);
            assert_eq!(said.end.splats, []);
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn orphans_are_reaped_and_strays_are_told() {
    // Two hundred orphans that exit at once, then a count of zombies, then two processes left
    // behind.
    let script = r#"
        i=0; while [ $i -lt 200 ]; do (true &) ; i=$((i+1)); done
        sleep 1
        grep -l '^State:.*Z' /proc/[0-9]*/status 2>/dev/null | wc -l
        sleep 1000 & sleep 1001 & exit 0"#;
    shell(
        script,
        |_, _| {},
        |_, said| {
            assert_eq!(said.lines, ["0"]);
            let init = said.end.init.unwrap();
            assert!(init.reaped >= 200, "{}", init.reaped);
            assert_eq!(init.strays.len(), 2, "{:?}", init.strays);
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn a_command_killed_by_a_signal_says_so() {
    shell(
        "kill -9 $$",
        |_, _| {},
        |_, said| {
            let init = said.end.init.unwrap();
            assert_eq!((init.code, init.signal), (None, Some(9)));
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn a_panic_is_a_panic() {
    let script = "echo before; echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; echo after";
    shell(
        script,
        |_, _| {},
        |_, said| {
            assert_eq!(said.lines, ["before"]);
            assert!(
                matches!(&said.end.cause, Cause::Panicked(why) if why.contains("sysrq")),
                "{:?}",
                said.end.cause
            );
            assert!(said.end.splats.iter().any(|splat| splat.kind == Kind::Panic));
            assert_eq!(said.end.init, None);
            assert!(said.took < Duration::from_secs(60), "{:?}", said.took);
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn silence_ends_the_guest() {
    shell(
        "echo one; sleep 1000",
        |_, patience| patience.idle = Some(Duration::from_secs(3)),
        |_, said| {
            assert_eq!(said.lines, ["one"]);
            assert_eq!(said.end.cause, Cause::Idle(Duration::from_secs(3)));
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn endless_talk_ends_too() {
    let limit = Duration::from_secs(40);
    shell(
        "while sleep 1; do echo line; done",
        |_, patience| patience.total = Some(limit),
        |_, said| {
            assert!(said.lines.len() > 3);
            assert_eq!(said.end.cause, Cause::Overtime(limit));
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn a_guest_that_never_comes_up() {
    let patience = |_: &mut GuestJob, patience: &mut Patience| {
        patience.boot = Some(Duration::from_secs(5));
        // A kernel that waits for a root device which never appears.
        patience.cmdline = "rdinit=/nowhere root=/dev/nowhere rootwait".into();
    };
    shell("true", patience, |_, said| {
        assert!(!said.booted);
        let Cause::NoBoot(why) = &said.end.cause else { panic!("{:?}", said.end.cause) };
        assert!(why.contains("the console's last words: "), "{why}");
    });
}

#[test]
#[ignore = "boots guests"]
fn a_missing_program_is_told() {
    shell(
        "",
        |job, _| job.command = vec!["/nowhere".into()],
        |_, said| {
            assert!(
                matches!(&said.end.cause, Cause::Died(why) if why.contains("/nowhere")),
                "{:?}",
                said.end.cause
            );
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn ten_thousand_lines_arrive_in_order() {
    shell(
        "seq 1 10000; printf 'half a line'",
        |_, _| {},
        |_, said| {
            let expect: Vec<String> =
                (1..=10_000).map(|n| n.to_string()).chain(["half a line".into()]).collect();
            assert!(said.lines == expect, "{} lines", said.lines.len());
            assert_eq!(said.end.init.unwrap().code, Some(0));
        },
    );
}

#[test]
#[ignore = "boots guests"]
fn a_dropped_guest_leaves_no_qemu() {
    let (kernels, accel, _) = kernels();
    let base = Builder::new(&kernels[0], init()).unwrap().build(cache()).unwrap();
    let job = GuestJob { command: vec!["/init".into()], ..GuestJob::default() };
    let dir = tempfile::tempdir().unwrap();
    let boot = Boot::new(&kernels[0], &base, &job, dir.path(), accel.clone());
    let marker = dir.path().join("initrd.cpio").display().to_string();
    let mut guest = Guest::boot(&boot).unwrap();
    assert!(matches!(guest.next(), Some(Event::Console(_) | Event::Booted(_))));
    assert!(running(&marker));
    drop(guest);
    assert!(!running(&marker));
}

/// Whether some process has this word among its arguments.
fn running(word: &str) -> bool {
    let output = Command::new("pgrep").args(["-f", "--", word]).output().unwrap();
    !output.stdout.is_empty()
}
