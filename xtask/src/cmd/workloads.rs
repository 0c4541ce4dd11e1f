//! `cargo xtask workloads`: lists the corpus.

use anyhow::Result;
use cairn_testsuite::cell::Selection;
use cairn_testsuite::corpus;
use clap::Parser;

use crate::programs;
use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// List only these: a glob over group/name, or a group
    #[arg(value_name = "GLOB")]
    globs: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Do not access the network
    #[arg(long)]
    offline: bool,
}

pub fn run(args: &Args) -> Result<bool> {
    let workspace = Workspace::find()?;
    let selection = Selection::new(&args.globs)?;
    let mut list = corpus::list(&programs::build_corpus(&workspace, args.offline)?)?;
    list.retain(|workload| selection.chooses(&workload.name));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&list)?);
        return Ok(!list.is_empty());
    }
    let width = list.iter().map(|w| w.name.len()).max().unwrap_or(0);
    for workload in &list {
        let mut marks: Vec<String> = workload.needs.iter().map(|need| format!("needs {need}")).collect();
        marks.extend(workload.active.then(|| "active".to_owned()));
        marks.extend(workload.statik.then(|| "static too".to_owned()));
        let marks = if marks.is_empty() { String::new() } else { format!(" [{}]", marks.join(", ")) };
        println!("{:width$}  {}{marks}", workload.name, workload.purpose);
    }
    println!("{} workloads", list.len());
    Ok(!list.is_empty())
}
