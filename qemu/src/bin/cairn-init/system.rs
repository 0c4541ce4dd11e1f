//! The system around the job: file systems, modules, settings, and the power switch.

use std::fs;
use std::path::Path;

use cairn_qemu::job::{Job, MODULES_PATH};
use rustix::mount::{MountFlags, mount};
use rustix::system::RebootCommand;

use crate::Failure;

/// Source, target, type, options, flags. The first three have to be there; the rest are mounted where the kernel knows
/// them.
const MOUNTS: &[(&str, &str, &core::ffi::CStr, MountFlags)] = &[
    ("proc", "/proc", c"", MountFlags::empty()),
    ("sysfs", "/sys", c"", MountFlags::empty()),
    ("devtmpfs", "/dev", c"mode=0755", MountFlags::empty()),
    ("devpts", "/dev/pts", c"gid=0,mode=620,ptmxmode=666", MountFlags::empty()),
    ("tmpfs", "/dev/shm", c"mode=1777", MountFlags::NODEV),
    ("mqueue", "/dev/mqueue", c"", MountFlags::empty()),
    ("hugetlbfs", "/dev/hugepages", c"mode=1777,pagesize=2M", MountFlags::empty()),
    ("tmpfs", "/tmp", c"mode=1777", MountFlags::NODEV),
    ("tmpfs", "/run", c"mode=0755", MountFlags::NODEV),
    ("cgroup2", "/sys/fs/cgroup", c"", MountFlags::empty()),
    ("debugfs", "/sys/kernel/debug", c"", MountFlags::empty()),
    ("tracefs", "/sys/kernel/tracing", c"", MountFlags::empty()),
];

const REQUIRED: usize = 3;

/// Mounts everything.
pub fn mount_early() -> Result<(), Failure> {
    for (number, (kind, target, options, flags)) in MOUNTS.iter().enumerate() {
        let path = Path::new(target);
        // Directories below /sys exist exactly where the kernel has the file system.
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
    Ok(())
}

/// Loads the modules of the list, in its order. What fails is told and does not stop the guest.
pub fn load_modules() -> Vec<String> {
    let list = match fs::read_to_string(MODULES_PATH) {
        Ok(list) => list,
        Err(e) => return vec![format!("read {MODULES_PATH}: {e}")],
    };
    let load = |path: &str| -> Result<(), String> {
        let file = fs::File::open(path).map_err(|e| format!("open module {path}: {e}"))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(e) => Err(format!("load module {path}: {e}")),
        }
    };
    list.lines().filter(|line| !line.is_empty()).filter_map(|path| load(path).err()).collect()
}

/// Brings the job's settings into force. What could not be done as asked comes back in words.
pub fn prepare(job: &Job) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut set = |path: &str, value: String| {
        if let Err(e) = fs::write(path, &value) {
            warnings.push(format!("write {value} to {path}: {e}"));
        }
    };
    // 4194304 is the largest the kernel takes on 64-bit machines (PID_MAX_LIMIT).
    set("/proc/sys/kernel/pid_max", job.pid_max.unwrap_or(4_194_304).to_string());
    set("/proc/sys/kernel/hostname", "cairn-guest".to_owned());
    if job.hugepages_2m > 0 {
        let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
        set(path, job.hugepages_2m.to_string());
        let got = fs::read_to_string(path).unwrap_or_default();
        if got.trim() != job.hugepages_2m.to_string() {
            warnings.push(format!(
                "asked for {} huge pages of 2 MiB, got {:?}",
                job.hugepages_2m,
                got.trim()
            ));
        }
    }
    warnings
}

/// The kernel's taint mask.
pub fn taint() -> u64 {
    let text = fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
    // Where there is no such file nothing can taint the kernel either.
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

/// Writes everything out and switches the machine off.
pub fn power_off() -> ! {
    rustix::fs::sync();
    let error = rustix::system::reboot(RebootCommand::PowerOff);
    // Only a machine without a power switch gets here. The host's watchdog ends it.
    eprintln!("cairn-init: power off: {error:?}");
    loop {
        std::thread::park();
    }
}
