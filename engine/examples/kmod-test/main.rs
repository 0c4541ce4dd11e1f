//! Puts the kernel module to the test, in a guest, as root: `kmod-test MODULE SECONDS SEED WHICH`.
//!
//! Loads it, tries everything that has to be refused and everything that may go wrong between two calls, throws requests at it for so many
//! seconds, and unloads it; of the checks it makes those whose name has WHICH in it, or one of its parts, which `|` separates. Says a line for
//! each, `ok NAME` or `FAIL NAME: why`, and exits with 1 when one failed. What the kernel says to its log meanwhile is for whoever reads the
//! console.

mod child;
mod fuzz;
mod holding;
mod restarts;
mod rules;
mod saves;
mod settings;

use anyhow::{Context, Result, ensure};
use cairn::sys::kmod::{DEVICE, Device, FEATURE_FREEZE};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// A check that returns is content.
type Check = (&'static str, fn() -> Result<()>);

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, kind] = args.as_slice()
        && flag == child::FLAG
    {
        child::live(kind);
    }
    match run(&args) {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(err) => {
            println!("FAIL: {err:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<bool> {
    let [module, seconds, seed, which] = args else {
        anyhow::bail!("usage: kmod-test MODULE SECONDS SEED WHICH")
    };
    let wanted = |name: &str| which.split('|').any(|part| name.contains(part));
    let time = Duration::from_secs(seconds.parse().context("SECONDS")?);
    let seed: u64 = seed.parse().context("SEED")?;
    let mut good = true;
    let mut say = |name: &str, result: Result<()>| match result {
        Ok(()) => println!("ok {name}"),
        Err(err) => {
            println!("FAIL {name}: {err:#}");
            good = false;
        }
    };
    say("loads", load(Path::new(module)));
    let about = Device::open().and_then(|device| device.info()).context("ask the module")?;
    if about.features & FEATURE_FREEZE == 0 {
        println!("skip all else: on this kernel the module holds nothing");
    } else {
        for (name, check) in
            [rules::CHECKS, holding::CHECKS, settings::CHECKS, saves::CHECKS, restarts::CHECKS].concat()
        {
            if wanted(name) {
                say(name, check());
            }
        }
        if wanted("fuzz") {
            say("fuzz", fuzz::run(time, seed));
        }
    }
    say("unloads", unload());
    Ok(good)
}

/// Loads the module with a device that everybody may open: whom it serves is then its own judgement.
fn load(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| format!("open {}", module.display()))?;
    rustix::system::finit_module(&file, c"mode=0666", 0).context("load the module")?;
    // There is no udev here.
    child::wait_for(|| Path::new(DEVICE).exists()).context("the device appears")
}

/// Unloads it. What was let go has to be on its way out of the module first, which may take a moment.
fn unload() -> Result<()> {
    let mut last = Ok(());
    let gone = child::wait_for(|| {
        last = rustix::system::delete_module(c"cairn", libc::O_NONBLOCK);
        last.is_ok()
    });
    gone.with_context(|| format!("unload the module: {last:?}"))?;
    ensure!(Device::open().is_err(), "the device is still there");
    Ok(())
}
