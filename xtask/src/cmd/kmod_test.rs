//! `cargo xtask kmod-test`: puts the kernel module to the test in guests: what has to be refused, what may go wrong, and requests at random.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cairn_qemu::guest::{Boot, Cause, Event, Guest};
use cairn_qemu::job::{Job, JobFile};
use cairn_qemu::kernels::{Kernel, Selector};
use cairn_qemu::machine::Machine;
use cairn_qemu::{Arch, Cache, accel, progress};
use clap::Parser;

use crate::cross::Toolchain;
use crate::kernels::{self, KernelArgs, Source};
use crate::places::{CPUS, MEMORY_MIB};
use crate::programs::{self, Programs, Wanted};
use crate::room::Room;

/// How often the emulator may fail before its failures count as the module's.
const EMULATOR_FAILURES: u32 = 3;

/// Where the module and the program lie in a guest.
const MODULE: &str = "/etc/cairn/cairn.ko";
const PROGRAM: &str = "/usr/bin/kmod-test";

#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    kernels: KernelArgs,
    /// How long requests at random are made, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &Args) -> Result<bool> {
    let room = Room::find()?;
    if args.kernels.kernel.contains(&Selector::Host) {
        bail!("the module is put to the test in guests only");
    }
    let source = &args.kernels.source;
    let choice = kernels::choose(&room, &args.kernels)?;
    let programs: BTreeMap<Arch, Tested> = choice
        .archs()?
        .into_iter()
        .map(|arch| Ok((arch, build(&room, arch, source)?)))
        .collect::<Result<_>>()?;
    let mut good = true;
    let mut rows = Vec::new();
    for kernel in choice.obtain(source)? {
        let name = format!("{}/{}", kernel.label(), kernel.arch);
        let module = match super::kmod::for_kernel(&room, &kernel, source)? {
            Ok(module) => module,
            Err(absence) => {
                rows.push(format!("{name}: skipped: {absence}"));
                continue;
            }
        };
        let tried = || test(&programs[&kernel.arch], &kernel, &module, args).with_context(|| name.clone());
        let mut verdict = tried()?;
        for _ in 0..EMULATOR_FAILURES {
            if verdict.emulator_failed {
                eprintln!("{name}: the emulator failed, once more");
                verdict = tried()?;
            }
        }
        good &= verdict.complaints.is_empty();
        rows.push(format!("{name}: {} ok, {} not", verdict.ok, verdict.complaints.len()));
        rows.extend(verdict.complaints.iter().map(|complaint| format!("  {complaint}")));
    }
    println!();
    rows.iter().for_each(|row| println!("{row}"));
    Ok(good)
}

/// What became of the checks on one kernel.
#[derive(Default)]
struct Verdict {
    ok: usize,
    complaints: Vec<String>,
    emulator_failed: bool,
}

impl Verdict {
    /// Takes in a line of the program.
    fn hear(&mut self, line: &str) {
        if line.starts_with("ok ") {
            self.ok += 1;
        } else if line.starts_with("FAIL") {
            self.complaints.push(line.to_owned());
        }
    }
}

/// What travels into a guest.
struct Tested {
    built: Programs,
    program: PathBuf,
}

fn build(room: &Room, arch: Arch, source: &Source) -> Result<Tested> {
    let toolchain = Toolchain::find(room, arch, source)?;
    let wanted = Wanted { offline: source.offline, no_engine: true, ..Wanted::default() };
    let built = programs::build(room, &toolchain, wanted)?;
    let program = programs::build_example(room, &toolchain, wanted, "kmod-test")?;
    Ok(Tested { built, program })
}

fn test(Tested { built, program }: &Tested, kernel: &Kernel, module: &[u8], args: &Args) -> Result<Verdict> {
    let cache = Cache::from_env()?;
    let luggage = built.luggage([].into());
    let base = luggage.pack(kernel)?.program(program, PROGRAM)?.build(&cache)?;
    let accel = accel::probe(kernel, &built.init, &cache, &progress::Stderr::default())?;
    let scale = accel.time_scale(Machine::of(kernel.arch));
    let job = Job {
        command: vec![PROGRAM.into(), MODULE.into(), args.seconds.to_string(), args.seed.to_string()],
        files: vec![JobFile { path: MODULE.into(), mode: 0o600, data: module.to_vec() }],
        ..Job::default()
    };
    let dir = tempfile::Builder::new().prefix("cairn-kmod-test-").tempdir().context("make a directory")?;
    let mut boot = Boot::new(kernel, &base, &job, dir.path(), accel);
    (boot.cpus, boot.memory_mib) = (CPUS, MEMORY_MIB);
    boot.idle_timeout = Duration::from_secs(60 + args.seconds);
    boot.total_timeout = Duration::from_secs(300 + 2 * args.seconds);
    eprintln!("{}/{}: {}", kernel.label(), kernel.arch, kernel.release);
    let mut guest = Guest::boot(&boot.scaled(scale)).context("boot")?;
    let mut verdict = Verdict::default();
    while let Some(event) = guest.next() {
        match event {
            Event::Line(line) => {
                eprintln!("  {line}");
                verdict.hear(&line);
            }
            Event::Splat(splat) => {
                splat.text.lines().for_each(|line| eprintln!("  | {line}"));
                verdict.complaints.push(format!("the kernel: {}", splat.title));
            }
            Event::Booted(_) | Event::Console(_) => {}
            Event::Ended(end) => {
                verdict.emulator_failed = matches!(end.cause, Cause::Emulator(_));
                if !matches!(end.init.as_ref().and_then(|init| init.code), Some(0 | 1)) {
                    verdict.complaints.push(format!("the guest ended early: {:?}", end.cause));
                }
            }
        }
    }
    if verdict.ok == 0 {
        verdict.complaints.push("nothing was checked".to_owned());
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_how_they_begin() {
        let mut verdict = Verdict::default();
        for line in
            ["ok loads", "# seed 1: 400 requests", "FAIL fuzz: EIO, which is not documented", "oklahoma"]
        {
            verdict.hear(line);
        }
        assert_eq!((verdict.ok, verdict.complaints.len()), (1, 1));
    }
}
