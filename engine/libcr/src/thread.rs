//! The threads that called `cr_init()`, each with its callbacks. An entry is never freed: a thread
//! that ends leaves it to the next one.

use crate::codes::{HOLD_DFLT, STATE_IDLE};
use crate::sections;
use crate::sys::{self, AtExit};
use libc::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// A callback of the program.
pub type Function = extern "C" fn(*mut c_void) -> c_int;

/// A registered callback.
#[derive(Clone, Copy)]
pub struct Callback {
    pub function: Option<Function>,
    pub argument: *mut c_void,
}

/// The same where all threads may see it; the argument is only handed back to the program.
struct Registered {
    function: Option<Function>,
    argument: AtomicPtr<c_void>,
}

impl From<Callback> for Registered {
    fn from(callback: Callback) -> Self {
        Registered { function: callback.function, argument: AtomicPtr::new(callback.argument) }
    }
}

/// What is known of a thread.
pub struct Thread {
    /// 0: the entry is free.
    pub tid: AtomicI32,
    /// `STATE_*`
    pub state: AtomicI32,
    /// How many critical sections it is in.
    pub sections: AtomicI32,
    /// Whether the present request waits for it.
    pub is_expected: AtomicBool,
    /// Whether it runs the callbacks in thread context.
    pub is_dedicated: AtomicBool,
    callbacks: Mutex<Vec<Registered>>,
    /// The callback that runs, counted from below; -1 when all have run.
    pub index: AtomicI32,
    /// The same, for cr_replace_self().
    pub running: AtomicI32,
    /// What the innermost cr_checkpoint() has returned.
    pub result: AtomicI32,
    /// How many times it has called cr_init().
    pub clients: AtomicI32,
    /// `HOLD_*`
    pub hold: AtomicI32,
    /// The count of cr_inc_persist().
    pub persist: AtomicI32,
    next: OnceLock<&'static Thread>,
}

/// How many threads with callbacks the present request waits for; [`UNKNOWN`] until all were told.
pub static EXPECTED: AtomicI32 = AtomicI32::new(UNKNOWN);

/// The number of threads before it is known.
pub const UNKNOWN: i32 = -1;

static FIRST: OnceLock<&'static Thread> = OnceLock::new();

/// All entries. May be called in a signal handler.
pub fn all() -> impl Iterator<Item = &'static Thread> {
    std::iter::successors(FIRST.get().copied(), |thread| thread.next.get().copied())
}

/// The entry of a thread. May be called in a signal handler.
pub fn find(tid: c_int) -> Option<&'static Thread> {
    all().find(|thread| thread.tid.load(Ordering::Acquire) == tid)
}

/// That of the thread that calls. May be called in a signal handler.
pub fn own() -> Option<&'static Thread> {
    find(sys::gettid())
}

/// That of the thread that runs the callbacks in thread context.
pub fn dedicated() -> Option<&'static Thread> {
    let is = |thread: &&Thread| {
        thread.tid.load(Ordering::Acquire) != 0 && thread.is_dedicated.load(Ordering::Acquire)
    };
    all().find(is)
}

/// The entry of the calling thread, made if there is none.
pub fn enter() -> &'static Thread {
    static AT_EXIT: OnceLock<AtExit> = OnceLock::new();
    if let Some(thread) = own() {
        return thread;
    }
    let tid = sys::gettid();
    AT_EXIT.get_or_init(|| AtExit::new(leave)).set();
    let take = |thread: &&'static Thread| {
        thread.tid.compare_exchange(0, -tid, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    };
    let thread = all().find(take).unwrap_or_else(|| {
        let thread: &'static Thread = Box::leak(Box::new(Thread::new(-tid)));
        let mut place = &FIRST;
        // Somebody else may add one at the same time.
        while place.set(thread).is_err() {
            place = &place.get().expect("it was set").next;
        }
        thread
    });
    thread.reset();
    thread.tid.store(tid, Ordering::Release);
    thread
}

/// At the end of a thread.
extern "C" fn leave(_value: *mut c_void) {
    if let Some(thread) = own().filter(|thread| thread.persist.load(Ordering::Relaxed) == 0) {
        thread.drop_expected();
        // Its critical sections are left.
        (0..thread.sections.swap(0, Ordering::AcqRel)).for_each(|_| sections::leave());
        thread.tid.store(0, Ordering::Release);
    }
}

/// In a child: only the thread that forked is there, under another number.
pub fn forked(by: Option<&'static Thread>) {
    for thread in all() {
        let is_it = by.is_some_and(|by| std::ptr::eq(by, thread));
        thread.tid.store(if is_it { sys::gettid() } else { 0 }, Ordering::Release);
        thread.state.store(STATE_IDLE, Ordering::Release);
    }
}

impl Thread {
    fn new(tid: c_int) -> Thread {
        let number = |number| AtomicI32::new(number);
        Thread {
            tid: number(tid),
            state: number(STATE_IDLE),
            sections: number(0),
            is_expected: AtomicBool::new(false),
            is_dedicated: AtomicBool::new(false),
            callbacks: Mutex::default(),
            index: number(-1),
            running: number(-1),
            result: number(0),
            clients: number(0),
            hold: number(HOLD_DFLT),
            persist: number(0),
            next: OnceLock::new(),
        }
    }

    fn reset(&self) {
        for number in [&self.sections, &self.result, &self.clients, &self.persist] {
            number.store(0, Ordering::Relaxed);
        }
        self.state.store(STATE_IDLE, Ordering::Relaxed);
        self.hold.store(HOLD_DFLT, Ordering::Relaxed);
        // Its last thread ended while it was being told.
        self.drop_expected();
        self.is_dedicated.store(false, Ordering::Relaxed);
        self.callbacks().clear();
    }

    /// The present request waits for it no longer.
    pub fn drop_expected(&self) {
        if self.is_expected.swap(false, Ordering::AcqRel) {
            EXPECTED.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Its callbacks, in the order of their registration. Locked only in critical sections, in
    /// which no handler runs callbacks, and by the thread that runs them.
    fn callbacks(&self) -> MutexGuard<'_, Vec<Registered>> {
        self.callbacks.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How many callbacks it has.
    pub fn count(&self) -> usize {
        self.callbacks().len()
    }

    /// One of them.
    pub fn callback(&self, at: usize) -> Option<Callback> {
        let callbacks = self.callbacks();
        let Registered { function, argument } = callbacks.get(at)?;
        Some(Callback { function: *function, argument: argument.load(Ordering::Relaxed) })
    }

    /// Adds one; its place.
    pub fn add(&self, callback: Callback) -> usize {
        let mut callbacks = self.callbacks();
        callbacks.push(callback.into());
        callbacks.len() - 1
    }

    /// Replaces one; whether there was one.
    pub fn replace(&self, at: usize, callback: Callback) -> bool {
        let mut callbacks = self.callbacks();
        callbacks.get_mut(at).map(|place| *place = callback.into()).is_some()
    }
}
