//! `cargo xtask report`: renders a past run, compares two runs, or merges the parts of one.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use cairn_testsuite::report::{Conclusion, Results, compare, merge, terminal};
use clap::Parser;

use crate::run;
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// The run, by name or directory [default: the newest]
    #[arg(conflicts_with = "merge")]
    run: Option<String>,
    /// Compare that run with this one: newly red and fixed cells
    #[arg(long, value_name = "OLDER", conflicts_with = "merge")]
    against: Option<String>,
    /// Merge all parts of one run, given by name or directory; a missing part or cell is an error
    #[arg(long, value_name = "RUN", num_args = 1..)]
    merge: Vec<String>,
}

pub fn run(args: &Args) -> Result<Conclusion> {
    let workspace = Workspace::find()?;
    let (dir, results) = if args.merge.is_empty() {
        let dir = workspace.find_run(args.run.as_deref())?;
        let results = Results::load(&dir)?;
        if let Some(older) = &args.against {
            let older = Results::load(&workspace.find_run(Some(older))?)?;
            let comparison = compare::compare(&older, &results);
            print!("{}", comparison.render());
            return Ok(if comparison.newly_red.is_empty() { Conclusion::Green } else { Conclusion::Red });
        }
        (dir, results)
    } else {
        merged(&workspace, &args.merge)?
    };
    results.save(&dir)?;
    run::write_reports(&dir, &results)?;
    print!("{}", terminal::render(&results, run::colour()));
    println!("{}", dir.join("index.html").display());
    Ok(results.conclusion())
}

/// The whole run, in its own directory; bundles stay with the parts.
fn merged(workspace: &Workspace, runs: &[String]) -> Result<(PathBuf, Results)> {
    let load = |name: &String| -> Result<(PathBuf, Results)> {
        let dir = workspace.find_run(Some(name))?;
        let dir = fs::canonicalize(&dir).with_context(|| format!("find {}", dir.display()))?;
        let results = Results::load(&dir)?;
        Ok((dir, results))
    };
    let mut results = merge::merge(runs.iter().map(load).collect::<Result<_>>()?)?;
    let (id, dir) = workspace.new_run()?;
    results.run.id = id;
    Ok((dir, results))
}
