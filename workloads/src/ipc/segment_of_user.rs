//! A segment that one user has created and given to a second, in a process of a third, who is
//! attached since before that.

use super::helpers::{Segment, of_parent};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "owner, creator and mode of System V shared memory",
    needs: &[Need::Root],
    active: false,
    statik: true,
    run,
};

const CREATOR: (u32, u32) = (1201, 1301);
const OWNER: (u32, u32) = (1202, 1302);
const OTHER: (u32, u32) = (1203, 1303);

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    // It outlives who creates it.
    let id = stage.shared().cell(1);
    fork("the creator", || {
        become_user(CREATOR)?;
        let segment = std::mem::ManuallyDrop::new(Segment::private(page_size(), 0o666)?);
        id.set(segment.id as u32);
        Ok(())
    })?
    .join()?;
    let segment = Segment::of(id.get() as i32, page_size());
    let mut memory = segment.attach(0)?;
    pattern::fill(memory.page_mut(0), cx.seed);
    let start = memory.start();
    let other = stage.fork("another user", |stage| {
        become_user(OTHER)?;
        stage.hold();
        let mut memory = std::mem::ManuallyDrop::new(Mapping::adopt(start, page_size()));
        pattern::verify("contents in the other process", memory.page(0), 7)?;
        pattern::fill(memory.page_mut(0), 8);
        let denied = of_parent(&segment).attach(0).is_err();
        expect(denied, || "attached against the permissions".into())
    })?;
    segment.give_to(OWNER, 0o440)?;
    let before = segment.told()?;

    cx.ready()?;

    expect_eq("segment", &segment.told()?, &before)?;
    expect_eq("owner, creator, mode", (before.owner, before.creator, before.mode), (OWNER, CREATOR, 0o440))?;
    pattern::verify("contents", memory.page(0), cx.seed)?;
    pattern::fill(memory.page_mut(0), 7);
    stage.release();
    other.join()?;
    pattern::verify("what the other user wrote", memory.page(0), 8)
}

fn become_user((uid, gid): (u32, u32)) -> Outcome {
    // SAFETY: numbers only.
    sys::check("setgroups", unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: as above.
    sys::check("setgid", unsafe { libc::setgid(gid) })?;
    // SAFETY: as above.
    sys::check("setuid", unsafe { libc::setuid(uid) })?;
    Ok(())
}
