//! Wherever a checkpoint falls in this loop, no call may be lost, doubled or return anything else:
//! a counter goes through a pipe, a file offset moves by one, ids of the process stay the same.

use crate::framework::prelude::*;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread that does nothing but system calls with known results",
    needs: &[],
    active: true,
    statik: true,
    run,
};

static ROUNDS: Rounds = Rounds::new();

fn run(cx: &mut Ctx) -> Outcome {
    let path = cx.dir.join("counters");
    let thread = thread::spawn(move || {
        let mut file =
            std::fs::File::options().create_new(true).read(true).write(true).open(&path).context("create")?;
        let (mut reader, mut writer) = std::io::pipe().context("pipe")?;
        let (pid, tid) = (sys::getpid(), sys::gettid());
        let mut count = 0u64;
        while ROUNDS.wanted() {
            let sent = count.to_le_bytes();
            expect_eq("bytes written to the pipe", writer.write(&sent).context("write")?, 8)?;
            let mut got = [0; 8];
            expect_eq("bytes read from the pipe", reader.read(&mut got).context("read")?, 8)?;
            expect_eq("counter through the pipe", u64::from_le_bytes(got), count)?;
            expect_eq("bytes written to the file", file.write(&sent).context("write")?, 8)?;
            expect_eq("file offset", file.stream_position().context("lseek")?, 8 * (count + 1))?;
            expect_eq("pid and tid", (sys::getpid(), sys::gettid()), (pid, tid))?;
            // SAFETY: no memory arguments. A descriptor that is not open must stay so.
            let rc = unsafe { libc::fcntl(writer.as_raw_fd() + 100, libc::F_GETFD) };
            expect_eq("fcntl on a closed descriptor", sys::errno_of(rc), Some(libc::EBADF))?;
            count += 1;
            // The file is a ring of a thousand numbers, so that it stays small however long this
            // runs.
            if count.is_multiple_of(1000) {
                file.rewind().context("lseek")?;
                let mut all = vec![0; 8000];
                file.read_exact(&mut all).context("read")?;
                for (index, number) in all.chunks_exact(8).enumerate() {
                    let want = (index as u64).to_le_bytes();
                    expect_bytes("number in the file", number, &want)?;
                }
                file.rewind().context("lseek")?;
                count = 0;
            }
            ROUNDS.bump();
        }
        Ok(())
    })?;
    ROUNDS.cross(cx, 10, 5)?;
    thread.join()?;
    std::fs::remove_file(cx.dir.join("counters")).context("remove")
}
