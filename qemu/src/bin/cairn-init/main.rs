//! PID 1 of a guest: sets up the system, runs one job, reaps orphans, reports, powers off.
//!
//! The order: mounts, modules, the result port, the job's modules and settings, loopback, the job's
//! root; [`InitEvent::Start`]; the command; [`InitEvent::End`]; power off. A failure before the
//! command is reported as [`InitEvent::Error`] if the port is open by then, and always as a line on
//! the console.
//!
//! It must not exit before the machine is powered off: the kernel panics when PID 1 exits, which
//! the host would report.

#![deny(unsafe_code)]

mod leaks;
mod network;
mod port;
mod run;
mod system;
mod terminal;

use std::fs::File;
use std::io::Write;

use cairn_qemu::job::{GuestJob, InitEvent, JOB_PATH};

/// The message of a failed step.
type Failure = String;

fn main() {
    if std::process::id() != 1 {
        let mut args = std::env::args_os().skip(1);
        match args.next() {
            // PID 1 executes itself in this role to make the console the controlling terminal of a
            // command.
            Some(flag) if flag == terminal::FLAG => {
                let failure = terminal::take(args.collect());
                eprintln!("cairn-init: {failure}");
            }
            _ => eprintln!("cairn-init: this program is PID 1 of a test guest and does nothing here"),
        }
        std::process::exit(1);
    }
    let mut port = None;
    if let Err(failure) = live(&mut port) {
        eprintln!("cairn-init: {failure}");
        if let Some(port) = &mut port {
            say(port, &InitEvent::Error { message: failure });
        }
    }
    system::power_off();
}

/// Everything up to power off. `port` is set as soon as it is open.
fn live(port: &mut Option<File>) -> Result<(), Failure> {
    system::mount_early()?;
    let mut warnings = system::load_modules();
    let port = port.insert(port::open()?);
    let text = std::fs::read(JOB_PATH).map_err(|e| format!("read {JOB_PATH}: {e}"))?;
    let job: GuestJob = serde_json::from_slice(&text).map_err(|e| format!("read {JOB_PATH}: {e}"))?;
    warnings.extend(leaks::forget().err());
    // A job that requests a module tests that module; without it, its failures would be misleading.
    system::load_for_job(&job)?;
    warnings.extend(system::prepare(&job));
    warnings.extend(network::loopback_up().err());
    if let Some(device) = &job.root {
        system::change_root(device)?;
    }
    for warning in &warnings {
        eprintln!("cairn-init: {warning}");
    }
    let taint = system::taint();
    let start =
        InitEvent::Start { release: system::release(), uptime_ns: system::uptime_ns(), taint, warnings };
    say(port, &start);
    let mut end = run::run(&job, port)?;
    leaks::tell()?;
    end.taint_before = taint;
    end.taint = system::taint();
    say(port, &InitEvent::End(end));
    Ok(())
}

/// Writes one event on a line of its own, even if the job left an incomplete line.
fn say(port: &mut File, event: &InitEvent) {
    let line = serde_json::to_string(event).expect("plain data serialises");
    if let Err(e) = port.write_all(format!("\n{line}\n").as_bytes()) {
        eprintln!("cairn-init: write to the result port: {e}");
    }
}
