//! Files in /proc are opened only briefly: at most checkpoints one of them is open or half read.

use crate::framework::prelude::*;
use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

pub const WORKLOAD: Workload = Workload {
    purpose: "a thread that opens, reads and closes a file of /proc over and over",
    needs: &[],
    active: true,
    statik: true,
    run,
};

static ROUNDS: Rounds = Rounds::new();
/// A quarter of the time it is open.
const OPEN: Duration = Duration::from_millis(2);
/// At most; random, so that it is not in step with the checkpoint's attempts.
const CLOSED_US: u64 = 12_000;

fn run(cx: &mut Ctx) -> Outcome {
    let mut rng = Rng::new(cx.seed);
    let thread = thread::spawn(move || {
        while ROUNDS.wanted() {
            let mut file = File::open("/proc/self/stat").context("open")?;
            std::thread::sleep(OPEN);
            let mut text = String::new();
            file.read_to_string(&mut text).context("read")?;
            let pid = text.split(' ').next().map(str::to_owned);
            expect_eq("pid in /proc/self/stat", pid, Some(sys::getpid().to_string()))?;
            drop(file);
            std::thread::sleep(Duration::from_micros(rng.below(CLOSED_US)));
            ROUNDS.bump();
        }
        Ok(())
    })?;
    ROUNDS.cross(cx, 10, 5)?;
    thread.join()
}
