//! The current activity of the engine, on a page that the worker shares with its front end. If the
//! worker is killed, or hangs uninterruptibly, the front end can report it. The journal
//! (`journal.rs`) is on the same page.

use crate::sys::guard::Board;
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

/// Says that the worker has ended by itself, and undone what was to be undone.
pub fn finish() {
    if let Some(board) = BOARD.get() {
        board.finish();
    }
}

/// Whether the worker has ended by itself.
pub fn is_finished() -> bool {
    BOARD.get().is_some_and(Board::is_finished)
}

/// The page, if there is one.
pub(crate) fn board() -> Option<&'static Board> {
    BOARD.get()
}
