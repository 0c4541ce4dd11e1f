//! A child in the memory of its parent, on a stack of its own.

use crate::framework::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the child exits with.
pub const ANSWER: i32 = 21;
/// The signal that it ignores in the end.
pub const SIGNAL: i32 = libc::SIGUSR2;

/// What both look at: in memory that is not shared with anybody else.
struct Words {
    go: Cell,
    question: AtomicU64,
    answer: AtomicU64,
}

/// The child and what both look at.
pub struct Twin {
    pub child: Child,
    words: &'static Words,
}

/// Its program. It has the thread-local storage of its parent, so it makes only system calls.
extern "C" fn live(words: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the words are leaked.
    let words = unsafe { &*words.cast::<Words>() };
    words.go.block_until(1);
    words.answer.store(!words.question.load(Ordering::SeqCst), Ordering::SeqCst);
    // SAFETY: ignoring a signal has no preconditions.
    match unsafe { libc::signal(SIGNAL, libc::SIG_IGN) } {
        libc::SIG_ERR => 1,
        _ => ANSWER,
    }
}

/// Starts it, with these flags besides CLONE_VM, and waits until it blocks.
pub fn start(flags: i32, seed: u64) -> anyhow::Result<Twin> {
    const STACK: usize = 64 << 10;
    let words: &Words = Box::leak(Box::new(Words {
        go: Cell::default(),
        question: AtomicU64::new(seed),
        answer: AtomicU64::new(0),
    }));
    let top = Mapping::private(STACK)?.leak() + STACK;
    let flags = flags | libc::CLONE_VM | libc::SIGCHLD;
    let argument = std::ptr::from_ref(words).cast_mut().cast();
    // SAFETY: the stack is mapped for good, and its end is aligned.
    let pid = unsafe { libc::clone(live, top as *mut libc::c_void, flags, argument) };
    let pid = sys::check("clone", pid)?;
    let child = Child { pid, name: "a child in the memory of its parent" };
    child.wait_blocked_in(libc::SYS_futex)?;
    Ok(Twin { child, words })
}

impl Twin {
    /// Asks what only somebody with the same memory can know, and waits for the answer.
    pub fn answer(&self, seed: u64) -> Outcome {
        let question = seed.rotate_left(17);
        self.words.question.store(question, Ordering::SeqCst);
        self.words.go.set(1);
        sync::wait_until("the answer", || Ok(self.words.answer.load(Ordering::SeqCst) != 0))?;
        expect_eq("answer", self.words.answer.load(Ordering::SeqCst), !question)
    }
}

/// Whether the calling process ignores a signal.
pub fn is_ignored(number: i32) -> anyhow::Result<bool> {
    Ok(signal::action(number)?.handler == libc::SIG_IGN)
}
