//! A file was unlinked and another created under its name: both are open.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an unlinked file whose name belongs to another file now",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let old = helpers::make_unlinked("name", 1111, cx.seed)?;
    let new = helpers::make("name", 2222, cx.seed + 1)?;
    // And the name that the kernel shows for the old one is another file.
    let decoy = helpers::make("name (deleted)", 3333, cx.seed + 2)?;
    let named = helpers::facts(&new, true)?;

    cx.ready()?;

    helpers::verify("the unlinked one", &old, 1111, cx.seed)?;
    helpers::verify("the new one", &new, 2222, cx.seed + 1)?;
    helpers::verify("the one with the odd name", &decoy, 3333, cx.seed + 2)?;
    expect_eq("attributes of the new one", helpers::facts(&new, true)?, named)?;
    expect_eq("links", (fd::stat(&old)?.st_nlink, fd::stat(&decoy)?.st_nlink), (0, 1))?;
    fd::write_all(&old, b"old")?;
    let by_name = fd::open("name", libc::O_RDONLY, 0)?;
    helpers::verify("the new one by its name", &by_name, 2222, cx.seed + 1)
}
