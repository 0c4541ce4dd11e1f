//! An ordinary user's process has open what only root could open: files, a directory, a pipe end.

use super::helpers;
use crate::framework::prelude::*;
use std::os::{fd::AsFd as _, unix::fs::PermissionsExt};

pub const WORKLOAD: Workload = Workload {
    purpose: "descriptors and a working directory that the process could not open any more",
    needs: &[Need::Root],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    std::fs::create_dir("closed").context("mkdir")?;
    let made = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let child = stage.fork("the unprivileged process", |stage| {
        std::env::set_current_dir("closed").context("chdir")?;
        let secret = fd::open("secret", made, 0o600)?;
        fd::write_all(&secret, &pattern::bytes(800, cx.seed))?;
        let unlinked = fd::open("unlinked", made, 0o400)?;
        fd::write_all(&unlinked, &pattern::bytes(900, cx.seed + 1))?;
        std::fs::remove_file("unlinked").context("unlink")?;
        let at = Some((secret.as_fd(), 0));
        let mapped = Mapping::new(page_size(), libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, at)?;
        std::fs::set_permissions(".", PermissionsExt::from_mode(0o700)).context("chmod")?;
        helpers::set_groups(&[])?;
        helpers::set_gids(1000, 1000, 1000)?;
        helpers::set_uids(1000, 1000, 1000)?;
        let want = helpers::all()?;
        stage.hold();
        expect_eq("credentials", helpers::all()?, want)?;
        pattern::verify("secret file", &fd::read_at(&secret, 800, 0)?, cx.seed)?;
        pattern::verify("secret file, mapped", &mapped.bytes()[..800], cx.seed)?;
        pattern::verify("unlinked file", &fd::read_at(&unlinked, 900, 0)?, cx.seed + 1)?;
        expect_eq("owner of the unlinked file", fd::stat(&unlinked)?.st_uid, 0u32)?;
        let errno = fd::errno("opening by name", fd::open("secret", libc::O_RDONLY, 0))?;
        expect_eq("errno of opening by name", errno, libc::EACCES)
    })?;

    cx.ready()?;

    stage.release();
    child.join()
}
