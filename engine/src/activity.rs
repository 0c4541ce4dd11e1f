//! The current activity of the engine, and its temporary changes to a target, on a page that the
//! worker shares with its front end. If the worker is killed, or hangs uninterruptibly, the front
//! end can report the activity and undo the changes.

use crate::sys::guard::Board;
use crate::sys::task;
use std::sync::OnceLock;

static BOARD: OnceLock<Board> = OnceLock::new();

/// Creates the page, before the worker is forked. Without it, nothing is recorded.
///
/// # Errors
/// As mmap(2).
pub fn prepare() -> std::io::Result<()> {
    let board = Board::new()?;
    // If there is one already, keep it: a second page would not be shared.
    let _ = BOARD.set(board);
    Ok(())
}

/// Records the next activity, which takes a short time unless it hangs.
pub fn say(what: impl FnOnce() -> String) {
    if let Some(board) = BOARD.get() {
        board.write(&what(), true);
    }
}

/// Records the next activity, which may take long: copying memory, waiting for the disk.
pub fn say_long(what: impl FnOnce() -> String) {
    if let Some(board) = BOARD.get() {
        board.write(&what(), false);
    }
}

/// Whether the last activity recorded is expected to be short.
pub fn is_hurried() -> bool {
    BOARD.get().is_some_and(Board::is_hurried)
}

/// The last activity recorded.
pub fn last() -> String {
    BOARD.get().map(Board::read).unwrap_or_default()
}

/// Records that a soft limit of a process is raised temporarily; with `None`, that it was restored.
pub fn note_limit(resource: u32, raised: Option<(i32, (u64, u64))>) {
    if let Some(board) = BOARD.get() {
        board.note_limit(resource, raised);
    }
}

/// Restores limits still recorded as raised. For the front end, once the worker is gone.
pub fn undo() {
    let Some(board) = BOARD.get() else { return };
    for (resource, pid, limit) in board.limits() {
        // A process that has exited needs no limits.
        let _ = task::set_rlimit(pid, resource, limit);
    }
}
