//! A directory has been read in part: the rest is read afterwards, each name once.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "the position in a directory: in the middle, at the end, at the start",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::create_dir("directory").context("mkdir")?;
    let mut names: Vec<String> = (0..200).map(|index| format!("entry number {index:03}")).collect();
    for name in &names {
        helpers::make(&format!("directory/{name}"), 0, 0)?;
    }
    let middle = fd::open("directory", libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let (start, end) = (fd::open("directory", libc::O_RDONLY, 0)?, fd::open("directory", libc::O_RDONLY, 0)?);
    let mut seen = helpers::read_directory(&middle, 1000)?.context("names")?;
    seen.extend(helpers::read_directory(&middle, 1000)?.context("more names")?);
    expect(seen.len() > 10 && seen.len() < 190, || format!("read {} of 200 names", seen.len()))?;
    while helpers::read_directory(&end, 4096)?.is_some() {}

    cx.ready()?;

    expect_eq("names at the end", helpers::read_directory(&end, 4096)?, None)?;
    while let Some(more) = helpers::read_directory(&middle, 1000)? {
        seen.extend(more);
    }
    seen.sort();
    expect_eq("all names, each once", seen, names.clone())?;
    let mut fresh = Vec::new();
    while let Some(more) = helpers::read_directory(&start, 4096)? {
        fresh.extend(more);
    }
    fresh.sort();
    names.sort();
    expect_eq("all names, from the start", fresh, names)
}
