//! How cells are run: the flags of every command that runs cells, and the resulting plan.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cairn_testsuite::cell::{Mode, Selection, Userland};
use cairn_testsuite::engine;
use clap::Parser;

use crate::run::{DEFAULT_SEED, Plan};
use crate::usage::usage;

/// How cells are run; shared by the commands that run cells.
#[derive(Parser)]
pub struct RunArgs {
    /// Engine to judge, NAME or NAME=PROGRAM; without PROGRAM it is built from this tree
    #[arg(long, value_name = "NAME[=PROGRAM]", default_value = "cairn")]
    pub engine: Vec<String>,
    /// Modes to run [default: all but killed]
    #[arg(long)]
    pub mode: Vec<Mode>,
    /// Builds of the corpus to run [default: all]
    #[arg(long)]
    pub userland: Vec<Userland>,
    /// Number of cells run concurrently in one place [default: one per processor]
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub jobs: usize,
    /// How often a red cell is retried; one that then passes is flaky
    #[arg(long, default_value_t = 0)]
    pub retries: u32,
    /// Factor on every time limit
    #[arg(long, default_value_t = 1.0)]
    pub timeout_scale: f64,
    /// Seed passed to every workload
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
    /// Keep the cells' directories
    #[arg(long)]
    pub keep: bool,
    /// Number of guests run concurrently
    #[arg(long, default_value_t = 1)]
    pub guests: usize,
}

/// Largest factor on time limits: a cell's minute becomes most of a day.
const MOST_SCALE: f64 = 1000.0;

impl RunArgs {
    /// The plan for a selection, with the engines that need no build already resolved.
    pub fn plan(&self, selection: Selection) -> Result<Plan> {
        if !(self.timeout_scale > 0.0 && self.timeout_scale <= MOST_SCALE) {
            usage!("--timeout-scale must be greater than 0, and {MOST_SCALE} at most");
        }
        let modes = each_once(&self.mode, Mode::USUAL);
        let userlands = each_once(&self.userland, Userland::ALL);
        let mut engines = BTreeMap::new();
        for text in &self.engine {
            let (name, program) = match text.split_once('=') {
                Some((_, "")) => usage!("--engine {text}: no program after the `=`"),
                Some((name, program)) => (
                    name,
                    std::path::absolute(program).with_context(|| format!("find the program of {text}"))?,
                ),
                None => (text.as_str(), PathBuf::new()),
            };
            if !engine::ALL.contains(&name) {
                usage!("no adapter for engine `{name}` (known: {})", engine::ALL.join(", "));
            }
            if !program.as_os_str().is_empty() {
                check_program(name, &program)?;
            }
            if engines.insert(name.to_owned(), program).is_some() {
                usage!("engine {name} is given twice");
            }
        }
        Ok(Plan {
            userlands,
            engines,
            modes,
            selection,
            jobs: self.jobs,
            retries: self.retries,
            timeout_scale: self.timeout_scale,
            keep: self.keep,
            seed: self.seed,
            guests: self.guests,
            trial: None,
        })
    }
}

/// The given values without duplicates; all values if none was given.
fn each_once<T: Copy + PartialEq>(given: &[T], all: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for one in if given.is_empty() { all } else { given } {
        if !once.contains(one) {
            once.push(*one);
        }
    }
    once
}

/// Checks that engines are programs, before anything is built.
fn check_program(name: &str, program: &Path) -> Result<()> {
    let permissions = match program.metadata() {
        Ok(about) if about.is_file() => about.permissions().mode(),
        Ok(_) => usage!("engine {name}: {} is not a file", program.display()),
        Err(error) => usage!("engine {name}: {}: {error}", program.display()),
    };
    if permissions & 0o111 == 0 {
        usage!("engine {name}: {} is not executable", program.display());
    }
    Ok(())
}
