//! Threads that go round and round while they are saved, and have to go on afterwards.

use super::shared::Cell;
use super::{Ctx, Outcome, gate};

/// How many rounds are done, and whether more are wanted.
pub struct Rounds {
    done: Cell,
    stop: Cell,
}

impl Rounds {
    pub const fn new() -> Self {
        Rounds { done: Cell::new(), stop: Cell::new() }
    }

    /// Whether to begin another round.
    pub fn wanted(&self) -> bool {
        self.stop.get() == 0
    }

    /// A round is done.
    pub fn bump(&self) {
        self.done.bump();
    }

    /// Waits for the first rounds, is [`Ctx::ready`], waits for more rounds and lets everybody end.
    pub fn cross(&self, cx: &mut Ctx, first: u32, more: u32) -> Outcome {
        self.done.wait("the first rounds", first)?;

        cx.ready()?;

        let before = self.done.get();
        gate::wait_until("more rounds", || Ok(self.done.get().wrapping_sub(before) >= more))?;
        self.stop.set(1);
        Ok(())
    }
}
