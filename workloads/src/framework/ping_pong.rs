//! Two processes that talk to each other as fast as they can.

use super::prelude::*;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::SeqCst;

/// A game across [`Ctx::ready`]: one process plays rounds, each with its number, and says `goodbye`
/// when there were enough; the other one answers until then.
pub fn game(
    cx: &mut Ctx,
    mut round: impl FnMut(u64) -> Outcome,
    goodbye: impl FnOnce() -> Outcome,
    answer: impl FnOnce() -> Outcome,
) -> Outcome {
    let shared = Shared::new()?;
    let serve = fork("the server", || {
        let mut done = 0u64;
        while shared.cell(1).get() == 0 {
            round(done)?;
            done += 1;
            shared.number(0).store(done, SeqCst);
        }
        goodbye()
    })?;
    let answer = fork("the other player", answer)?;
    let played = |more| sync::wait_for_more("the game to go on", shared.number(0), more);
    played(20)?;

    cx.ready()?;

    played(20)?;
    shared.cell(1).set(1);
    serve.join()?;
    answer.join()
}

/// The number in a message; the largest one in a message of another size.
pub fn number(bytes: Vec<u8>) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap_or([0xff; 8]))
}

/// A counter goes back and forth: each player has a descriptor to write to and one to read from.
pub fn play<T: AsRawFd>(cx: &mut Ctx, (to, back): (&T, &T), (from, there): (&T, &T)) -> Outcome {
    let round = |number_of_round: u64| {
        let turn = 2 * number_of_round;
        fd::write_all(to, &turn.to_le_bytes())?;
        expect_eq("answer", number(fd::read_all(back, 8)?), turn + 1)
    };
    let answer = || {
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
    };
    game(cx, round, || fd::write_all(to, &u64::MAX.to_le_bytes()), answer)
}
