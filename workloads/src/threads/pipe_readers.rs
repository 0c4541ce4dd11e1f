//! read(2) without a handler must continue as if uninterrupted: no EINTR, no lost and no
//! duplicated byte.

use crate::framework::prelude::*;
use std::io::{Read as _, Write as _};

pub const WORKLOAD: Workload =
    Workload { purpose: "threads blocked in read on pipes", needs: &[], active: false, statik: true, run };

fn run(cx: &mut Ctx) -> Outcome {
    let mut pairs = Vec::new();
    for number in 0..4u8 {
        let (mut reader, writer) = std::io::pipe().context("pipe")?;
        let thread = thread::spawn(move || {
            let mut got = [0; 5];
            let n = reader.read(&mut got).with_context(|| format!("read in thread {number}"))?;
            expect_bytes("bytes of the first read", &got[..n], &[number; 3])?;
            expect_eq("end of file", reader.read(&mut got).context("second read")?, 0)
        })?;
        thread.wait_blocked_in(libc::SYS_read)?;
        pairs.push((thread, writer, number));
    }

    cx.ready()?;

    for (thread, mut writer, number) in pairs {
        writer.write_all(&[number; 3]).context("write")?;
        drop(writer);
        thread.join()?;
    }
    Ok(())
}
