//! The system around the job: file systems, modules, settings, and power off.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cairn_qemu::job::{GuestJob, MIN_HUGE_PAGES, MODULES_PATH};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};
use rustix::system::RebootCommand;

use crate::Failure;

/// Source, target, type, options, flags. The first three are required; the rest are mounted if the
/// kernel supports them.
const MOUNTS: &[(&str, &str, &core::ffi::CStr, MountFlags)] = &[
    ("proc", "/proc", c"", MountFlags::empty()),
    ("sysfs", "/sys", c"", MountFlags::empty()),
    ("devtmpfs", "/dev", c"mode=0755", MountFlags::empty()),
    ("devpts", "/dev/pts", c"gid=0,mode=620,ptmxmode=666", MountFlags::empty()),
    ("tmpfs", "/dev/shm", c"mode=1777", MountFlags::NODEV),
    ("mqueue", "/dev/mqueue", c"", MountFlags::empty()),
    ("hugetlbfs", "/dev/hugepages", c"mode=1777", MountFlags::empty()),
    ("tmpfs", "/tmp", c"mode=1777", MountFlags::NODEV),
    ("tmpfs", "/run", c"mode=0755", MountFlags::NODEV),
    ("cgroup2", "/sys/fs/cgroup", c"", MountFlags::empty()),
    ("debugfs", "/sys/kernel/debug", c"", MountFlags::empty()),
    ("tracefs", "/sys/kernel/tracing", c"", MountFlags::empty()),
];

const REQUIRED: usize = 3;

/// Symbolic links in `/dev` that programs expect and the kernel does not create; shells open
/// `/dev/fd/N` for process substitution.
const LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Mounts all file systems.
pub fn mount_early() -> Result<(), Failure> {
    for (number, (kind, target, options, flags)) in MOUNTS.iter().enumerate() {
        let path = Path::new(target);
        // Directories below /sys exist only if the kernel has the file system.
        if number >= REQUIRED && target.starts_with("/sys/") && !path.is_dir() {
            continue;
        }
        if !path.is_dir() {
            fs::create_dir_all(path).map_err(|e| format!("create {target}: {e}"))?;
        }
        if let Err(e) = mount(*kind, path, *kind, *flags, *options) {
            let text = format!("mount {kind} on {target}: {e}");
            if number < REQUIRED {
                return Err(text);
            }
            eprintln!("cairn-init: {text}");
        }
    }
    for (target, link) in LINKS {
        if let Err(e) = symlink(target, link) {
            eprintln!("cairn-init: link {link}: {e}");
        }
    }
    Ok(())
}

/// Makes the file system of a disk the root and moves the existing mounts there.
pub fn change_root(device: &str) -> Result<(), Failure> {
    const AT: &str = "/disk";
    fs::create_dir_all(AT).map_err(|e| format!("create {AT}: {e}"))?;
    mount(device, AT, "ext4", MountFlags::empty(), c"").map_err(|e| format!("mount {device}: {e}"))?;
    // Submounts are moved along with these.
    for target in MOUNTS.iter().map(|(_, target, ..)| target).filter(|target| is_at_top(target)) {
        let there = format!("{AT}{target}");
        fs::create_dir_all(&there).map_err(|e| format!("create {there}: {e}"))?;
        mount_move(*target, &there).map_err(|e| format!("move {target} to {there}: {e}"))?;
    }
    // The first root, an initramfs, can be neither unmounted nor changed with pivot_root(2).
    let enter = || {
        chdir(AT)?;
        mount_move(".", "/")?;
        chroot(".")?;
        chdir("/")
    };
    enter().map_err(|e| format!("make {device} the root: {e}"))
}

/// Whether a path is directly below the root.
fn is_at_top(path: &str) -> bool {
    path.matches('/').count() == 1
}

/// Loads the modules of the list, in its order. Failures are returned and do not stop the guest.
pub fn load_modules() -> Vec<String> {
    let list = match fs::read_to_string(MODULES_PATH) {
        Ok(list) => list,
        Err(e) => return vec![format!("read {MODULES_PATH}: {e}")],
    };
    list.lines().filter(|line| !line.is_empty()).filter_map(|path| load(path, "").err()).collect()
}

/// Loads the modules requested by the job, in its order.
pub fn load_for_job(job: &GuestJob) -> Result<(), Failure> {
    job.modules.iter().try_for_each(|module| load(&module.path, &module.parameters))
}

/// Loads one module, unless it is loaded already.
fn load(path: &str, parameters: &str) -> Result<(), Failure> {
    let file = fs::File::open(path).map_err(|e| format!("open module {path}: {e}"))?;
    let words = CString::new(parameters).map_err(|e| format!("parameters of module {path}: {e}"))?;
    match rustix::system::finit_module(&file, &words, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(e) => Err(format!("load module {path} {parameters}: {e} (the console says more)")),
    }
}

/// Applies the job's settings. Returns messages about those that could not be applied.
pub fn prepare(job: &GuestJob) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut set = |path: &str, value: String| {
        if let Err(e) = fs::write(path, &value) {
            warnings.push(format!("write {value} to {path}: {e}"));
        }
    };
    // 4194304 is the maximum on 64-bit machines (PID_MAX_LIMIT).
    set("/proc/sys/kernel/pid_max", job.pid_max.unwrap_or(4_194_304).to_string());
    set("/proc/sys/kernel/hostname", "cairn-guest".to_owned());
    if job.huge_mib > 0 {
        warnings.extend(reserve_huge_pages(job.huge_mib).err());
    }
    warnings
}

/// Reserves this much memory in huge pages of the default size, which depends on architecture and
/// page size.
fn reserve_huge_pages(mib: u32) -> Result<(), String> {
    const COUNT: &str = "/proc/sys/vm/nr_hugepages";
    let text = fs::read_to_string("/proc/meminfo").map_err(|e| format!("read /proc/meminfo: {e}"))?;
    let kib = huge_page_kib(&text).ok_or("this kernel has no huge pages")?;
    let count = (u64::from(mib) * 1024).div_ceil(kib).max(MIN_HUGE_PAGES);
    fs::write(COUNT, count.to_string()).map_err(|e| format!("write {count} to {COUNT}: {e}"))?;
    let got = fs::read_to_string(COUNT).map_err(|e| format!("read {COUNT}: {e}"))?;
    let got = got.trim();
    let enough = got == count.to_string();
    if enough { Ok(()) } else { Err(format!("asked for {count} huge pages of {kib} KiB, got {got}")) }
}

/// The default huge page size in `/proc/meminfo`, in KiB.
fn huge_page_kib(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    rest.trim().strip_suffix(" kB")?.parse().ok().filter(|&kib| kib > 0)
}

/// The kernel's taint mask.
pub fn taint() -> u64 {
    let text = fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
    // A kernel without this file has no taint mask.
    text.trim().parse().unwrap_or(0)
}

/// `uname -r`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Nanoseconds since the guest's kernel started.
pub fn uptime_ns() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    (seconds * 1e9) as u64
}

/// Syncs the file systems and powers the machine off.
pub fn power_off() -> ! {
    rustix::fs::sync();
    let error = rustix::system::reboot(RebootCommand::PowerOff);
    // Only a machine that cannot power off gets here. The host's watchdog ends it.
    eprintln!("cairn-init: power off: {error:?}");
    loop {
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_to_another_root() {
        let tops: Vec<&str> = MOUNTS.iter().map(|(_, target, ..)| *target).filter(|t| is_at_top(t)).collect();
        assert_eq!(tops, ["/proc", "/sys", "/dev", "/tmp", "/run"]);
    }

    #[test]
    fn the_size_of_huge_pages() {
        assert_eq!(
            huge_page_kib("HugePages_Total: 0\nHugepagesize:      32768 kB\nHugetlb: 0 kB\n"),
            Some(32768)
        );
        assert_eq!(huge_page_kib("MemTotal: 1 kB\n"), None);
    }
}
