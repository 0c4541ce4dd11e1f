//! What cairn is doing, and what it has changed in a target for a moment: on a page that the worker
//! shares with the process that the user sees, which can tell the one and undo the other when the
//! worker is gone, or hangs where nothing but a kill ends it.

use crate::sys::guard::Board;
use crate::sys::task;
use std::sync::OnceLock;

static BOARD: OnceLock<Board> = OnceLock::new();

/// Makes the page; before the worker is split off. Without one, nothing is told.
///
/// # Errors
/// What mmap(2) says.
pub fn prepare() -> std::io::Result<()> {
    let board = Board::new()?;
    // A second one would be nobody's: the first stays.
    let _ = BOARD.set(board);
    Ok(())
}

/// Says what is done next: something that is soon over, or hangs.
pub fn say(what: impl FnOnce() -> String) {
    if let Some(board) = BOARD.get() {
        board.write(&what(), true);
    }
}

/// Says what is done next, and may take as long as it does: to copy memory, to wait for the disk.
pub fn say_long(what: impl FnOnce() -> String) {
    if let Some(board) = BOARD.get() {
        board.write(&what(), false);
    }
}

/// Whether what was said last has to end in time.
pub fn is_hurried() -> bool {
    BOARD.get().is_some_and(Board::is_hurried)
}

/// What was said last.
pub fn last() -> String {
    BOARD.get().map(Board::read).unwrap_or_default()
}

/// Notes that a soft limit of a process is raised for a moment, or with nothing that it no longer
/// is.
pub fn note_limit(resource: u32, raised: Option<(i32, (u64, u64))>) {
    if let Some(board) = BOARD.get() {
        board.note_limit(resource, raised);
    }
}

/// Sets limits back that are still noted as raised. For the process that the user sees, once the
/// worker is gone.
pub fn undo() {
    let Some(board) = BOARD.get() else { return };
    for (resource, pid, limit) in board.limits() {
        // A process that has ended needs no limits.
        let _ = task::set_rlimit(pid, resource, limit);
    }
}
