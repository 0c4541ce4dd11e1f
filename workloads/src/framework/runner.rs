//! `list` and `run`: finding a workload, running it, turning its outcome into an exit status.

use super::{Ctx, Entry, descendants, hang_report, needs::Skip, sync, sync::Gate};
use std::process::ExitCode;

/// Exit status of a workload that cannot run here.
const SKIPPED: u8 = 77;

/// One line of `list --json`.
#[derive(serde::Serialize)]
struct Listed {
    name: String,
    group: &'static str,
    purpose: &'static str,
    needs: &'static [super::needs::Need],
    active: bool,
    #[serde(rename = "static")]
    statik: bool,
}

/// Prints every workload.
pub fn list(groups: &[&[Entry]], json: bool) -> ExitCode {
    let all = groups.iter().flat_map(|group| group.iter());
    if !json {
        for entry in all {
            println!("{:<36} {}", entry.id(), entry.workload.purpose);
        }
        return ExitCode::SUCCESS;
    }
    let all: Vec<Listed> = all
        .map(|entry| Listed {
            name: entry.id(),
            group: entry.group(),
            purpose: entry.workload.purpose,
            needs: entry.workload.needs,
            active: entry.workload.active,
            statik: entry.workload.statik,
        })
        .collect();
    match serde_json::to_string_pretty(&all) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("list: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the workload `name` in the current directory.
pub fn run(groups: &[&[Entry]], name: &str, seed: u64) -> ExitCode {
    let mut all = groups.iter().flat_map(|group| group.iter());
    let Some(Entry { workload, .. }) = all.find(|entry| entry.id() == name) else {
        eprintln!("no workload is named {name}; `list` prints those there are");
        return ExitCode::from(2);
    };
    let dir = match std::env::current_dir() {
        Ok(dir) => dir,
        Err(error) => {
            eprintln!("current directory: {error}");
            return ExitCode::from(2);
        }
    };
    let mut cx = Ctx { seed, gate: Gate::new(&dir), dir };
    let outcome =
        workload.needs.iter().try_for_each(|need| need.require()).and_then(|()| (workload.run)(&mut cx));
    let passed = cx.gate.passed();
    match outcome {
        Ok(()) if passed => ExitCode::SUCCESS,
        Ok(()) => {
            eprintln!("the workload ended without having said ready");
            ExitCode::FAILURE
        }
        Err(error) => {
            if sync::time_left().is_zero() {
                hang_report::print();
            }
            descendants::kill_all();
            match error.downcast_ref::<Skip>() {
                Some(reason) if !passed => {
                    eprintln!("skip: {reason}");
                    ExitCode::from(SKIPPED)
                }
                _ => {
                    eprintln!("{error:#}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}
