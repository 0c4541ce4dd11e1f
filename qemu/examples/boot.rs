//! Boots kernels and runs one command in each guest: `boot INIT SELECTOR… -- PROGRAM [ARG…]`.
//! `PROGRAM` is a path on this machine; it is copied into the guest as `/bin/job`. Prints the
//! output of the result port and the boot's times. `ARCH` in the environment selects the
//! architecture. With `-i` instead of the program: a shell on this terminal.

use std::path::Path;
use std::time::Instant;

use cairn_qemu::guest::{self, Boot, Cause, Event, Guest};
use cairn_qemu::initramfs::{self, Builder};
use cairn_qemu::job::Console;
use cairn_qemu::kernels::{self, Matrix, Options};
use cairn_qemu::machine::Machine;
use cairn_qemu::progress::Stderr;
use cairn_qemu::{Arch, Cache, GuestJob, probe, setup};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: boot INIT SELECTOR… -- PROGRAM [ARG…]";
    let split = args.iter().position(|arg| arg == "--").ok_or(usage)?;
    let (before, command) = (&args[..split], &args[split + 1..]);
    let (init, selectors) = before.split_first().ok_or(usage)?;
    let program = command.first().ok_or(usage)?;

    let progress = Stderr::default();
    let arch: Arch = std::env::var("ARCH").as_deref().unwrap_or("x86_64").parse()?;
    let machine = Machine::of(arch);
    let offline = std::env::var_os("OFFLINE").is_some();
    setup::ensure(&[machine.need(), setup::Need::GPGV, setup::Need::KEYRING], offline, &progress)?;
    let cache = Cache::from_env()?;
    let options = Options {
        arch: machine.arch,
        mirror: None,
        keyring: None,
        offline,
        cache: &cache,
        progress: &progress,
    };
    let matrix = Matrix::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../matrix.toml"))?;
    let selectors: Vec<_> = selectors.iter().map(|s| s.parse()).collect::<Result<_, _>>()?;
    let resolution = kernels::resolve(&matrix, &selectors, &options)?;

    if program == "-i" {
        let kernel = resolution.kernels.first().ok_or("no kernel")?;
        let accel = probe::probe(kernel, Path::new(init), &cache, &progress)?;
        let (builder, command) = initramfs::add_shell(Builder::new(kernel, Path::new(init))?, None)?;
        let base = builder.build(&cache)?;
        let job = GuestJob { command, console: Console::Interactive, ..GuestJob::default() };
        let dir = tempfile::tempdir()?;
        let status = guest::interactive(&Boot::new(kernel, &base, &job, dir.path(), accel))?;
        return if status == 0 { Ok(()) } else { Err(format!("QEMU ended with {status}").into()) };
    }

    let mut failed = false;
    for kernel in &resolution.kernels {
        let accel = probe::probe(kernel, Path::new(init), &cache, &progress)?;
        let base =
            Builder::new(kernel, Path::new(init))?.program(Path::new(program), "/bin/job")?.build(&cache)?;
        let words = std::iter::once("/bin/job".to_owned()).chain(command[1..].iter().cloned());
        let mut job = GuestJob { command: words.collect(), ..GuestJob::default() };
        job.huge_mib = std::env::var("HUGE").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        let dir = tempfile::tempdir()?;
        let start = Instant::now();
        let factor = accel.time_scale(kernel);
        let mut boot = Boot::new(kernel, &base, &job, dir.path(), accel).scaled(factor);
        boot.extra_cmdline = std::env::var("APPEND").unwrap_or_default();
        boot.cpus = std::env::var("CPUS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
        for event in Guest::boot(&boot)? {
            match event {
                Event::Booted(info) => {
                    println!(
                        "{}: up after {:.2?} (guest says {:.2?}) {:?}",
                        info.release, info.wall, info.uptime, info.warnings
                    );
                }
                Event::Line(line) => println!("{}| {line}", kernel.point),
                Event::Console(line) => println!("{}# {line}", kernel.point),
                Event::Splat(splat) => println!("{}! {} {}", kernel.point, splat.kind, splat.title),
                Event::Ended(end) => {
                    println!(
                        "{} {}: {:?} {:?}, {:.2?}",
                        kernel.package, kernel.version, end.cause, end.init, end.wall
                    );
                    failed |= end.cause != Cause::Finished;
                }
            }
        }
        println!("{}: {:.2?} in all", kernel.point, start.elapsed());
    }
    if failed { Err("a guest did not finish".into()) } else { Ok(()) }
}
