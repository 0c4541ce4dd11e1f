//! Determines whether this machine can run guests with hardware virtualisation, by booting one.
//!
//! Opening `/dev/kvm` successfully proves little: on some hosts, mostly virtual machines
//! themselves, QEMU then aborts, or the guest hangs after a few instructions. So a small guest is
//! booted up to PID 1 and powered off. The result is cached until this machine reboots or QEMU
//! changes.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::accel::Accel;
use crate::arch::Arch;
use crate::cache::{self, Cache};
use crate::guest::{Boot, Cause, Event, Guest};
use crate::initramfs::Builder;
use crate::job::GuestJob;
use crate::kernels::Kernel;
use crate::kernels::fetch::{find_program, sha256_hex};
use crate::machine::Machine;
use crate::progress::Progress;

/// First line of the output of QEMU with `--version`, for guests of this architecture.
///
/// # Errors
/// When it cannot be started.
pub fn emulator(arch: Arch) -> io::Result<String> {
    let output = Command::new(Machine::of(arch).qemu).arg("--version").stdin(Stdio::null()).output()?;
    Ok(first_line(&String::from_utf8_lossy(&output.stdout)))
}

/// Time limit of the probe's guest. With KVM it takes about one second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the probe could not be made. A guest that does not run is a result, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the cache.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The probe's initramfs could not be built.
    #[error(transparent)]
    Initramfs(#[from] crate::initramfs::Error),
}

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    accel: Accel,
}

/// Determines and reports how guests of this kernel's architecture are executed. `init` is the
/// program `cairn-init`.
///
/// # Errors
/// When the probe's files cannot be written.
pub fn probe(kernel: &Kernel, init: &Path, cache: &Cache, progress: &dyn Progress) -> Result<Accel, Error> {
    let machine = Machine::of(kernel.arch);
    let accel = match hopeless(machine) {
        Some(why) => Accel::Tcg { why },
        None => boot_once(machine, kernel, init, cache, progress)?,
    };
    match &accel {
        Accel::Kvm => progress.message(&format!("{} guests run on KVM", machine.arch)),
        Accel::Tcg { why } => progress.message(&format!(
            "WARNING: {} guests run under emulation (TCG), several times slower than on hardware: {why}",
            machine.arch
        )),
    }
    Ok(accel)
}

/// Why the probe would certainly fail, if that is known.
fn hopeless(machine: &Machine) -> Option<String> {
    if Arch::host() != Some(machine.arch) {
        return Some(format!("this machine is no {}", machine.arch));
    }
    match fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => None,
        Err(e) => Some(format!("/dev/kvm: {e}")),
    }
}

fn boot_once(
    machine: &Machine,
    kernel: &Kernel,
    init: &Path,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Accel, Error> {
    let dir = cache.dir("probe")?;
    let kept_at = dir.join(format!("{}.json", machine.arch));
    let _lock = cache.lock(&format!("probe-{}", machine.arch))?;
    let key = key(machine);
    if let Ok(bytes) = fs::read(&kept_at)
        && let Ok(kept) = serde_json::from_slice::<Kept>(&bytes)
        && kept.key == key
    {
        return Ok(kept.accel);
    }
    progress.message("trying whether guests run on KVM");
    let base = Builder::new(kernel, init)?.build(cache)?;
    // PID 1's own program, which does nothing when it is not PID 1, is a command that every guest
    // has.
    let job = GuestJob { command: vec!["/init".into()], ..GuestJob::default() };
    let work = tempfile::Builder::new()
        .prefix("boot-")
        .tempdir_in(&dir)
        .map_err(|source| cache::Error::Io { action: "create a directory in", path: dir.clone(), source })?;
    let mut boot = Boot::new(kernel, &base, &job, work.path(), Accel::Kvm);
    boot.memory_mib = 512;
    boot.total_timeout = PATIENCE;
    let accel = match Guest::boot(&boot) {
        Err(e) => Accel::Tcg { why: format!("KVM: {e}") },
        Ok(guest) => judge(guest),
    };
    let json = serde_json::to_vec(&Kept { key, accel: accel.clone() }).expect("plain data serialises");
    cache::write_atomically(&kept_at, &json)?;
    Ok(accel)
}

fn judge(mut guest: Guest) -> Accel {
    let start = Instant::now();
    while let Some(event) = guest.next() {
        match event {
            Event::Booted(_) => return Accel::Kvm,
            Event::Ended(end) => {
                let why = match end.cause {
                    Cause::NoBoot(why) | Cause::Died(why) => first_line(&why),
                    Cause::Panicked(why) | Cause::Emulator(why) => first_line(&why),
                    Cause::Overtime(_) | Cause::Idle(_) => {
                        format!("the guest did not reach PID 1 in {:.0?}", start.elapsed())
                    }
                    Cause::Finished | Cause::Killed => "the guest ended without coming up".to_owned(),
                };
                return Accel::Tcg {
                    why: format!("/dev/kvm opens, but a guest does not run under it: {why}"),
                };
            }
            Event::Line(_) | Event::Console(_) | Event::Splat(_) => {}
        }
    }
    Accel::Tcg { why: "the probe's guest ended without an event".to_owned() }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// What the result depends on: the boot of this machine, and the QEMU.
fn key(machine: &Machine) -> String {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let qemu = find_program(machine.qemu).map(|path| {
        let about = path.metadata().map(|m| (m.len(), m.modified().ok()));
        format!("{} {about:?}", path.display())
    });
    sha256_hex(format!("{boot_id} {qemu:?} {}", machine.cpu_tcg).as_bytes())
}
