//! Tests the kernel module, in a guest, as root: `kmod-test MODULE SECONDS SEED WHICH`.
//!
//! Loads the module, runs the checks, sends random requests for SECONDS, and unloads the module.
//! Only checks whose name contains WHICH, or one of its parts separated by `|`, are run. Prints
//! `ok NAME` or `FAIL NAME: why` for each, and exits with 1 if one failed. The driver of the guest
//! reads the kernel's log.

mod child;
mod freezing;
mod fuzz;
mod restarts;
mod rules;
mod saves;
mod settings;

use anyhow::{Context, Result, ensure};
use cairn_kmod_abi::{DEVICE, Device, FEATURE_FREEZE};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// Name and function of a check.
type Check = (&'static str, fn() -> Result<()>);

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, kind] = args.as_slice()
        && flag == child::FLAG
    {
        match kind.as_str() {
            "settings" => settings::live(true),
            "no-settings" => settings::live(false),
            kind => child::live(kind),
        }
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
            [rules::CHECKS, freezing::CHECKS, settings::CHECKS, saves::CHECKS, restarts::CHECKS].concat()
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

/// Loads the module with a device that every user may open, to test its own permission checks.
fn load(module: &Path) -> Result<()> {
    let file = File::open(module).with_context(|| format!("open {}", module.display()))?;
    rustix::system::finit_module(&file, c"mode=0666", 0).context("load the module")?;
    // Created by devtmpfs; there is no udev here.
    child::wait_for(|| Path::new(DEVICE).exists()).context("the device appears")
}

/// Unloads the module. EAGAIN until the last thawed thread has left its task work.
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
