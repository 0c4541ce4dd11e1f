//! Names with a space, a line feed, a backslash, and one that ends in ` (deleted)` though the file
//! exists.

use crate::framework::prelude::*;
use std::os::fd::AsFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "mappings of files whose names are traps for readers of /proc",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const NAMES: [&str; 5] =
    ["two words", "line\nfeed", "back\\slash \\040", "really (deleted)", "n\u{e4}m\u{eb}"];

fn run(cx: &mut Ctx) -> Outcome {
    let mut mappings = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        let path = cx.dir.join(name);
        std::fs::write(&path, pattern::bytes(2 * page_size(), cx.seed + index as u64))
            .context("write file")?;
        let file = std::fs::File::open(&path).context("open file")?;
        mappings.push(Mapping::new(
            2 * page_size(),
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            Some((file.as_fd(), 0)),
        )?);
    }
    let before = super::helpers::shape(&mappings)?;

    cx.ready()?;

    expect_eq("names, offsets and inodes", super::helpers::shape(&mappings)?, before)?;
    for (index, mapping) in mappings.iter().enumerate() {
        pattern::verify(NAMES[index], mapping.bytes(), cx.seed + index as u64)?;
        std::fs::remove_file(cx.dir.join(NAMES[index])).context("remove file")?;
    }
    Ok(())
}
