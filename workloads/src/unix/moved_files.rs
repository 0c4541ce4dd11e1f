//! Sockets whose files are no longer, or never were, where their addresses lead to from the root or
//! from a directory above: renamed, and bound by way of `..` and of a link.

use super::helpers;
use crate::framework::prelude::*;
use nix::sys::socket::SockType;
use std::os::unix::fs::{MetadataExt as _, symlink};

pub const WORKLOAD: Workload = Workload {
    purpose: "files of listeners that were renamed, or bound by `..` and through a link, and their names",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

/// Addresses, and where their files are after that.
const NAMES: [(&str, &str); 5] = [
    ("first", "published"),
    ("../beside/up", "../beside/up"),
    ("sub/../sub/again", "sub/again"),
    ("link/through", "sub/through"),
    ("second", "sub/moved"),
];

fn run(cx: &mut Ctx) -> Outcome {
    for directory in ["here", "beside", "here/sub"] {
        std::fs::create_dir(directory).context("mkdir")?;
    }
    std::env::set_current_dir("here").context("chdir")?;
    symlink("sub", "link").context("symlink")?;
    let mut listeners = Vec::new();
    for (address, at) in NAMES {
        listeners.push(helpers::listener(SockType::Stream, &helpers::path(address)?)?);
        if std::fs::symlink_metadata(at).is_err() {
            std::fs::rename(address, at).context("rename")?;
        }
    }
    // Another one has the address of the first by now.
    let heir = helpers::listener(SockType::Stream, &helpers::path("first")?)?;
    let names = || listeners.iter().map(helpers::names).collect::<Vec<_>>();
    let mode = |at: &str| -> anyhow::Result<u32> { Ok(std::fs::metadata(at).context("stat")?.mode()) };
    std::fs::set_permissions("published", std::os::unix::fs::PermissionsExt::from_mode(0o640))
        .context("chmod")?;
    let before = (names(), mode("published")?);
    let everything = || -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        for directory in [".", "sub", "../beside"] {
            for entry in std::fs::read_dir(directory).context("read directory")? {
                all.push(format!("{directory}/{}", entry?.file_name().to_string_lossy()));
            }
        }
        all.sort();
        Ok(all)
    };
    let files = everything()?;

    cx.ready()?;

    expect_eq("files", everything()?, files)?;
    expect_eq("names and mode", (names(), mode("published")?), before)?;
    for ((_, at), listener) in NAMES.iter().zip(&listeners).chain([(&("first", "first"), &heir)]) {
        let client = helpers::connected(SockType::Stream, &helpers::path(at)?)?;
        helpers::send(&client, at.as_bytes())?;
        expect_bytes(at, &helpers::receive(&helpers::accepted(listener)?)?, at.as_bytes())?;
    }
    Ok(())
}
