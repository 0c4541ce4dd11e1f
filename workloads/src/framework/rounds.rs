//! Threads that loop while they are checkpointed, and must continue afterwards.

use super::shared::Cell;
use super::{Ctx, Outcome, sync};

/// The number of completed rounds, and whether to do more.
pub struct Rounds {
    done: Cell,
    stop: Cell,
}

impl Rounds {
    pub const fn new() -> Self {
        Rounds { done: Cell::new(), stop: Cell::new() }
    }

    /// Whether to start another round.
    pub fn wanted(&self) -> bool {
        self.stop.get() == 0
    }

    /// Counts a completed round.
    pub fn bump(&self) {
        self.done.bump();
    }

    /// Waits for the first rounds, calls [`Ctx::ready`], waits for more and ends the threads.
    pub fn cross(&self, cx: &mut Ctx, first: u32, more: u32) -> Outcome {
        self.done.wait("the first rounds", first)?;

        cx.ready()?;

        let before = self.done.get();
        sync::wait_until("more rounds", || Ok(self.done.get().wrapping_sub(before) >= more))?;
        self.stop.set(1);
        Ok(())
    }
}
