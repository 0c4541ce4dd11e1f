//! `cargo xtask report`: a past run once more, or two side by side.

use anyhow::Result;
use cairn_testsuite::report::{Results, compare, terminal};
use clap::Parser;

use crate::campaign;
use crate::room::Room;

#[derive(Parser)]
pub struct Args {
    /// The run, by name or directory; the newest when left out
    run: Option<String>,
    /// Compare that run with this one: what got red, what was healed
    #[arg(long, value_name = "OLDER")]
    against: Option<String>,
}

pub fn run(args: &Args) -> Result<bool> {
    let room = Room::find()?;
    let dir = room.find_run(args.run.as_deref())?;
    let results = Results::load(&dir.join("results.json"))?;
    if let Some(older) = &args.against {
        let older = Results::load(&room.find_run(Some(older))?.join("results.json"))?;
        let comparison = compare::compare(&older, &results);
        print!("{}", comparison.render());
        return Ok(comparison.newly_red.is_empty());
    }
    campaign::write_reports(&dir, &results)?;
    print!("{}", terminal::render(&results, campaign::colour()));
    println!("{}", dir.join("index.html").display());
    Ok(results.is_green())
}
