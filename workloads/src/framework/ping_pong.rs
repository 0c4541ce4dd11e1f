//! Two processes that pass a counter back and forth as fast as they can.

use super::prelude::*;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::SeqCst;

/// Plays across [`Ctx::ready`]: each player has a descriptor to write to and one to read from.
pub fn play<T: AsRawFd>(cx: &mut Ctx, (to, back): (&T, &T), (from, there): (&T, &T)) -> Outcome {
    let shared = Shared::new()?;
    let number = |bytes: Vec<u8>| u64::from_le_bytes(bytes.try_into().unwrap_or([0xff; 8]));
    let serve = fork("the server", || {
        let mut turn = 0u64;
        while shared.cell(1).get() == 0 {
            fd::write_all(to, &turn.to_le_bytes())?;
            expect_eq("answer", number(fd::read_all(back, 8)?), turn + 1)?;
            turn += 2;
            shared.number(0).store(turn, SeqCst);
        }
        fd::write_all(to, &u64::MAX.to_le_bytes())
    })?;
    let answer = fork("the other player", || {
        let mut turn = 0u64;
        loop {
            let ball = number(fd::read_all(there, 8)?);
            if ball == u64::MAX {
                return Ok(());
            }
            expect_eq("ball", ball, turn)?;
            fd::write_all(from, &(turn + 1).to_le_bytes())?;
            turn += 2;
        }
    })?;
    let played = |more| sync::wait_for_more("the game to go on", shared.number(0), more);
    played(20)?;

    cx.ready()?;

    played(20)?;
    shared.cell(1).set(1);
    serve.join()?;
    answer.join()
}
