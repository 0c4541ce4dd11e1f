//! `list` and `run`: finding a workload, running it, turning its outcome into an exit status.

use super::{Ctx, Workload, census, child, gate, gate::Gate, needs::Skip};
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
    moving: bool,
    #[serde(rename = "static")]
    statik: bool,
}

/// Prints every workload.
pub fn list(groups: &[&[&Workload]], json: bool) -> ExitCode {
    let all = groups.iter().flat_map(|group| group.iter());
    if !json {
        for workload in all {
            println!("{:<36} {}", workload.id(), workload.purpose);
        }
        return ExitCode::SUCCESS;
    }
    let all: Vec<Listed> = all
        .map(|w| Listed {
            name: w.id(),
            group: w.group,
            purpose: w.purpose,
            needs: w.needs,
            moving: w.moving,
            statik: w.statik,
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
pub fn run(groups: &[&[&Workload]], name: &str, seed: u64) -> ExitCode {
    let Some(workload) = groups.iter().flat_map(|group| group.iter()).find(|w| w.id() == name) else {
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
            if gate::time_left().is_zero() {
                census::tell();
            }
            child::kill_descendants();
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
