//! Fifty pipes, each with its own bytes, in one process and its child.

use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "fifty pipes that must not be mixed up",
    needs: &[],
    active: false,
    statik: false,
    run,
};

const COUNT: usize = 50;

fn run(cx: &mut Ctx) -> Outcome {
    let stage = Stage::new()?;
    let mut pipes = Vec::new();
    for index in 0..COUNT {
        let (reader, writer) = fd::pipe(0)?;
        fd::write_all(&writer, &pattern::bytes(1 + index * 40, cx.seed + index as u64))?;
        pipes.push((reader, writer));
    }
    let child = stage.fork("the reader of every other pipe", |stage| {
        stage.hold();
        for (index, (reader, _)) in pipes.iter().enumerate().skip(1).step_by(2) {
            let got = fd::read_all(reader, 1 + index * 40)?;
            pattern::verify(&format!("pipe {index}"), &got, cx.seed + index as u64)?;
        }
        Ok(())
    })?;

    cx.ready()?;

    stage.release();
    for (index, (reader, _)) in pipes.iter().enumerate().step_by(2) {
        let got = fd::read_all(reader, 1 + index * 40)?;
        pattern::verify(&format!("pipe {index}"), &got, cx.seed + index as u64)?;
    }
    child.join()?;
    for (index, (reader, writer)) in pipes.iter().enumerate() {
        expect_eq("bytes left", fd::available(reader)?, 0)?;
        let inodes = (fd::stat(reader)?.st_ino, fd::stat(writer)?.st_ino);
        expect(inodes.0 == inodes.1, || format!("pipe {index}: its ends are of pipes {inodes:?}"))?;
    }
    Ok(())
}
