//! A guest as a place: every life is a boot, the runner is its only job, events arrive through the
//! result port.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_qemu::accel::Accel;
use cairn_qemu::guest::{Boot, Cause, Guest, Said};
use cairn_qemu::initramfs::{self, Builder};
use cairn_qemu::job::{GuestJob, JobFile};
use cairn_qemu::kernels::Kernel;
use cairn_qemu::{Cache, cache};

use super::place::{Ending, Heard, Lines, Place, PlaceError, StopFlag};
use crate::cell::Userland;
use crate::event::Job;
use crate::verdict::Verdict;

/// Path of the runner in the guest.
const RUNNER: &str = "/usr/bin/cairn-runner";
/// Path of the job file in the guest.
const JOB: &str = "/etc/cairn/runner.json";
/// Directory of the cells in the guest; a tmpfs.
const WORKDIR: &str = "/tmp/cairn";
/// Directories of the guest where only an engine that leaks files creates any; workloads stay in
/// their cells' directories.
const ELSEWHERE: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/run"];
/// Huge pages available to the corpus, in MiB.
pub const HUGE_MIB: u32 = 64;
/// How long a guest may be silent beyond a cell's own limit, unscaled.
const PATIENCE: Duration = Duration::from_secs(30);

/// The programs that are packed into a guest, by their paths on the host.
#[derive(Debug, Clone)]
pub struct GuestPrograms {
    /// PID 1 of the guest.
    pub init: PathBuf,
    /// The runner program.
    pub runner: PathBuf,
    /// The corpus program of each userland.
    pub workloads: BTreeMap<Userland, PathBuf>,
    /// The program of each engine.
    pub engines: BTreeMap<String, PathBuf>,
}

/// Path of a userland's corpus program in the guest.
pub fn corpus_path(userland: Userland) -> String {
    match userland {
        Userland::Dynamic => "/usr/bin/cairn-workloads".to_owned(),
        Userland::Static => "/usr/lib/cairn/static/cairn-workloads".to_owned(),
    }
}

/// Path of an engine's program in the guest.
pub fn engine_path(name: &str) -> String {
    format!("/usr/bin/{name}")
}

impl GuestPrograms {
    /// Packs everything for one kernel.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn pack<'k>(&self, kernel: &'k Kernel) -> Result<Builder<'k>, initramfs::Error> {
        let mut builder = Builder::new(kernel, &self.init)?.program(&self.runner, RUNNER)?;
        for (userland, program) in &self.workloads {
            builder = builder.program(program, &corpus_path(*userland))?;
        }
        for (name, program) in &self.engines {
            builder = builder.program(program, &engine_path(name))?;
        }
        // Loaded by the C library when a thread is cancelled or exits early.
        builder.library("libgcc_s.so.1")
    }

    /// Packs and writes the base file system, or finds it in the cache.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn base(&self, kernel: &Kernel, cache: &Cache) -> Result<PathBuf, initramfs::Error> {
        self.pack(kernel)?.build(cache)
    }
}

/// Opens the cache of kernels and file systems.
///
/// # Errors
/// When no cache directory can be determined.
pub fn open_cache() -> Result<Cache, cache::Error> {
    Cache::from_env()
}

/// Runs jobs in guests of one kernel.
#[derive(Debug)]
pub struct GuestPlace {
    /// The kernel to boot.
    pub kernel: Kernel,
    /// Path of the base file system.
    pub base: PathBuf,
    /// Hardware virtualisation or emulation.
    pub accel: Accel,
    /// Directory for the files of each life.
    pub dir: PathBuf,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The kernel module to load, if any.
    pub module: Option<Vec<u8>>,
    /// Number of lives so far.
    pub lives: u32,
}

impl GuestPlace {
    fn life_dir(&self) -> PathBuf {
        self.dir.join(format!("boot-{}", self.lives))
    }
}

/// Sets a job's paths to those of the programs in a guest.
pub fn fill_in(job: &mut Job, guest_programs: &GuestPrograms, accel: &Accel) {
    job.fixed_addresses = matches!(accel, Accel::Tcg { .. });
    job.workdir = PathBuf::from(WORKDIR);
    // The guest's file system is lost at its end.
    job.keep = false;
    job.workloads = guest_programs.workloads.keys().map(|&u| (u, PathBuf::from(corpus_path(u)))).collect();
    job.engines =
        guest_programs.engines.keys().map(|name| (name.clone(), PathBuf::from(engine_path(name)))).collect();
}

/// Result of one command in a guest.
#[derive(Debug)]
pub struct Answer {
    /// Exit status; absent when the command did not exit normally.
    pub code: Option<i32>,
    /// Its standard output.
    pub output: String,
    /// How the guest ended and the last lines of its console, for a message.
    pub end: String,
}

/// Boots a guest for one command. `dir` is for its files.
///
/// # Errors
/// When the guest cannot be started.
pub fn ask(
    kernel: &Kernel,
    base: &Path,
    accel: &Accel,
    time_scale: f64,
    dir: &Path,
    command: &[&str],
) -> Result<Answer, PlaceError> {
    let job =
        GuestJob { command: command.iter().map(|&word| word.to_owned()).collect(), ..GuestJob::default() };
    let boot = Boot::new(kernel, base, &job, dir, accel.clone()).scaled(time_scale);
    let guest = Guest::boot(&boot).map_err(PlaceError::new(format!("boot {}", kernel.release)))?;
    let mut output = String::new();
    let heard = guest.listen(&|| false, &mut |said| {
        if let Said::Line(line) = said {
            output.push_str(line);
            output.push('\n');
        }
    });
    Ok(Answer { code: heard.code(), output, end: heard.describe() })
}

impl Place for GuestPlace {
    fn run(&mut self, job: &Job, stop: &StopFlag, hear: &mut dyn FnMut(Heard)) -> Result<Ending, PlaceError> {
        self.lives += 1;
        let dir = self.life_dir();
        let data = serde_json::to_vec(job).map_err(PlaceError::new("write a job"))?;
        let mut command = [RUNNER, "run", "--job", JOB].map(str::to_owned).to_vec();
        command.extend(ELSEWHERE.iter().map(|dir| format!("--unchanged={dir}")));
        let mut guest_job = GuestJob {
            command,
            huge_mib: HUGE_MIB,
            files: vec![JobFile { path: JOB.to_owned(), mode: 0o600, data }],
            ..GuestJob::default()
        };
        if let Some(module) = &self.module {
            // A guest is a test machine: every user may open the device.
            guest_job.load("cairn", module.clone(), "mode=0666");
        }
        let mut boot = Boot::new(&self.kernel, &self.base, &guest_job, &dir, self.accel.clone());
        (boot.cpus, boot.memory_mib) = (self.cpus, self.memory_mib);
        boot.idle_timeout = Duration::from_millis(job.cell_timeout_ms) + 2 * PATIENCE;
        boot.total_timeout = Duration::from_secs(4 * 3600);
        let boot = boot.scaled(job.time_scale);
        let what = format!("boot {}", self.kernel.release);
        let guest = Guest::boot(&boot).map_err(PlaceError::new(what))?;
        let mut lines = Lines::default();
        let heard = guest.listen(&|| stop.raised(), &mut |said| match said {
            Said::Line(line) => lines.take(line, hear),
            Said::Splat(splat) => hear(Heard::Splat(splat.title.clone())),
        });
        for warning in heard.booted.into_iter().flat_map(|info| info.warnings) {
            hear(Heard::Note(format!("{}: {warning}", self.kernel.release)));
        }
        let end = heard.end;
        // The job's archive is large and contains nothing that the results lack.
        let initrd = dir.join("initrd.cpio");
        if !job.keep {
            std::fs::remove_file(&initrd).map_err(PlaceError::new(format!("remove {}", initrd.display())))?;
        }
        lines.accepted()?;
        if stop.raised() {
            return Ok(Ending::Stopped);
        }
        let Some(end) = end else {
            return Ok(Ending::Died {
                verdict: Verdict::Missing,
                detail: "the guest exited without a report".into(),
            });
        };
        if let Some(init) = &end.init
            && !init.strays.is_empty()
        {
            hear(Heard::Note(format!("{}: left running: {}", self.kernel.release, init.strays.join(", "))));
        }
        Ok(ending(end.cause, lines.done, lines.complaint))
    }

    fn files(&self) -> Vec<PathBuf> {
        let dir = self.life_dir();
        let there = |path: &PathBuf| Path::new(path).is_file();
        ["console.log", "qemu.cmd"].into_iter().map(|name| dir.join(name)).filter(there).collect()
    }
}

/// Translates the end of a guest into the ending of a life.
fn ending(cause: Cause, done: bool, complaint: Option<String>) -> Ending {
    let died = |verdict, detail| Ending::Died { verdict, detail };
    match (cause, complaint) {
        (Cause::Finished, None) if done => Ending::Finished,
        (Cause::Finished, complaint) => {
            let detail = complaint.unwrap_or_else(|| "the runner exited before finishing".to_owned());
            died(Verdict::Missing, detail)
        }
        (Cause::Panicked(text), _) => died(Verdict::Panic, text),
        (Cause::Emulator(detail), _) => Ending::Emulator { detail },
        (Cause::Idle(time), _) => died(Verdict::Timeout, format!("no output from the guest for {time:.0?}")),
        (Cause::Overtime(time), _) => died(Verdict::Timeout, format!("the guest took more than {time:.0?}")),
        (Cause::NoBoot(text), _) => died(Verdict::Boot, text),
        (Cause::Died(text), _) => died(Verdict::Missing, text),
        (Cause::Killed, _) => Ending::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_runner_that_said_so_is_finished() {
        assert_eq!(ending(Cause::Finished, true, None), Ending::Finished);
        for end in [
            ending(Cause::Finished, false, None),
            ending(Cause::Finished, true, Some("noise".into())),
            ending(Cause::Died("gone".into()), true, None),
        ] {
            assert!(matches!(end, Ending::Died { verdict: Verdict::Missing, .. }), "{end:?}");
        }
    }

    #[test]
    fn every_death_has_its_verdict() {
        let verdict = |cause| match ending(cause, false, None) {
            Ending::Died { verdict, .. } => verdict,
            other => panic!("{other:?}"),
        };
        assert_eq!(verdict(Cause::Panicked("oh".into())), Verdict::Panic);
        assert!(matches!(ending(Cause::Emulator("oh".into()), false, None), Ending::Emulator { .. }));
        assert_eq!(verdict(Cause::Idle(PATIENCE)), Verdict::Timeout);
        assert_eq!(verdict(Cause::NoBoot("no".into())), Verdict::Boot);
    }
}
