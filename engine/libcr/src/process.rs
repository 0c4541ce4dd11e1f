//! This process in a checkpoint: from the signal of the coordinator until all callbacks have
//! returned. Everything here may run in a signal handler.

use crate::codes::{
    ABORTS, EOMITTED, EPERMFAIL, ETEMPFAIL, HOLD_BOTH, HOLD_CONT, HOLD_DFLT, HOLD_RSTRT, HOOK_NONE,
    HOOK_RESTART, HOOK_SIGNAL, HOOK_THREAD, HOOKS, OMIT, PERM_FAILURE, STATE_ACTIVE, STATE_IDLE,
    STATE_PENDING,
};
use crate::connections::{self, REQUESTS};
use crate::sections;
use crate::sys;
use crate::thread::{self, EXPECTED, Thread, UNKNOWN};
use crate::wire::{Kind, LONGEST, Message, VERSION};
use libc::c_int;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Odd while a request is under way; what waits for its end waits for another number.
static BUSY: AtomicU32 = AtomicU32::new(0);
/// The connection to the coordinator.
static CONNECTION: AtomicI32 = AtomicI32::new(-1);
/// When this process was started, as it was when the request came.
static STARTED: AtomicU64 = AtomicU64::new(0);
/// Threads without callbacks that were told, and those of them that wait for the answer.
static OTHERS: [AtomicI32; 2] = [const { AtomicI32::new(0) }; 2];
/// Those of them that wait in the innermost cr_checkpoint(), or have cancelled.
static ARRIVED: AtomicI32 = AtomicI32::new(0);
/// Those of them whose callbacks have returned.
static LEFT: AtomicI32 = AtomicI32::new(0);
/// Whether somebody waits for the answer for all of them.
static IS_HEARD: AtomicBool = AtomicBool::new(false);
/// Whether there is an answer.
static ANSWERED: AtomicU32 = AtomicU32::new(0);
/// The answer.
static RESULT: AtomicI32 = AtomicI32::new(0);
/// Whether the program asked to be left out of all checkpoints.
pub static IS_OMITTED: AtomicBool = AtomicBool::new(false);
/// `HOLD_*` of threads that have called cr_init(), and of others.
pub static HOLD: [AtomicI32; 2] = [const { AtomicI32::new(HOLD_BOTH) }; 2];
/// The functions registered for events.
pub static EVENTS: [AtomicUsize; HOOKS] = [const { AtomicUsize::new(0) }; HOOKS];

/// What is told of the present request.
pub struct Told {
    pub signal: AtomicI32,
    pub requester: AtomicI32,
    pub target: AtomicI32,
    pub scope: AtomicI32,
    /// Where the checkpoint goes, or what was restarted: up to a zero.
    path: [AtomicU8; PATH],
}

/// Bytes of a path and a zero.
pub const PATH: usize = 4096;

pub static TOLD: Told = Told {
    signal: AtomicI32::new(0),
    requester: AtomicI32::new(0),
    target: AtomicI32::new(0),
    scope: AtomicI32::new(0),
    path: [const { AtomicU8::new(0) }; PATH],
};

impl Told {
    fn set_path(&self, text: &[u8]) {
        let bytes = text.iter().copied().take(PATH - 1).chain(std::iter::once(0));
        self.path.iter().zip(bytes).for_each(|(place, byte)| place.store(byte, Ordering::Relaxed));
    }

    /// A copy of the path, with the zero.
    pub fn path(&self) -> [u8; PATH] {
        std::array::from_fn(|at| self.path[at].load(Ordering::Relaxed))
    }
}

/// Whether a request is under way.
pub fn is_busy() -> bool {
    !BUSY.load(Ordering::Acquire).is_multiple_of(2)
}

/// Waits for the end of a request, or less: look again.
pub fn await_end() {
    let seen = BUSY.load(Ordering::Acquire);
    if !seen.is_multiple_of(2) {
        sys::futex_wait(&BUSY, seen);
    }
}

/// The process that these variables are of. A child of vfork(2) has the same memory for a while.
static OWN: AtomicI32 = AtomicI32::new(0);

/// In a process that has just come to be.
pub fn is_ours() {
    OWN.store(sys::getpid(), Ordering::Release);
}

/// The thread that handles a coordinator's signal, and blocks further ones meanwhile.
static BEGINNER: AtomicI32 = AtomicI32::new(0);

/// [`crate::codes::SIGNAL`] has come.
pub fn signalled(code: c_int, sender: c_int) {
    const SI_TKILL: c_int = -6;
    if OWN.load(Ordering::Acquire) != sys::getpid() {
        return;
    }
    match code {
        libc::SI_QUEUE => {
            let own = sys::gettid();
            let is_first = BEGINNER.compare_exchange(0, own, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            begin(sender);
            if is_first {
                BEGINNER.store(0, Ordering::Release);
            }
        }
        SI_TKILL if sender == sys::getpid() => take_part(),
        // Not ours.
        _ => {}
    }
}

/// A coordinator has asked.
fn begin(coordinator: c_int) {
    let seen = BUSY.load(Ordering::Acquire);
    let is_free = seen.is_multiple_of(2);
    if !is_free || BUSY.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        // The coordinator of another request; it will ask again.
        return;
    }
    let Some(fd) = sys::connect(coordinator) else { return end() };
    let mut room = [0; LONGEST];
    let request = sys::receive(fd, &mut room).ok().and_then(|len| Message::decode(&room[..len]));
    let Some(Message { kind: Kind::Request, value, rest: [requester, target, scope, VERSION], text }) =
        request
    else {
        sys::close(fd);
        return end();
    };
    for (place, number) in [&TOLD.signal, &TOLD.requester, &TOLD.target, &TOLD.scope]
        .into_iter()
        .zip([value, requester, target, scope])
    {
        place.store(number, Ordering::Relaxed);
    }
    TOLD.set_path(text);
    CONNECTION.store(fd, Ordering::Release);
    STARTED.store(sys::start_time(), Ordering::Relaxed);
    EXPECTED.store(UNKNOWN, Ordering::Release);
    ARRIVED.store(0, Ordering::Release);
    LEFT.store(0, Ordering::Release);
    ANSWERED.store(0, Ordering::Release);
    OTHERS.iter().for_each(|count| count.store(0, Ordering::Release));
    IS_HEARD.store(false, Ordering::Release);
    let mut own = [0; 4 * (REQUESTS + 1)];
    let fds = std::iter::once(fd).chain(connections::all());
    let mut len = 0;
    for (place, fd) in own.chunks_exact_mut(4).zip(fds) {
        place.copy_from_slice(&fd.to_ne_bytes());
        len += 4;
    }
    sys::send(fd, &Message { text: &own[..len], ..Message::new(Kind::Hello, 0) });
    if IS_OMITTED.load(Ordering::Relaxed) {
        sys::send(fd, &Message::new(Kind::Abort, OMIT));
        return end();
    }
    match thread::dedicated() {
        Some(thread) => {
            thread.state.store(STATE_PENDING, Ordering::Release);
            WAKE.fetch_add(1, Ordering::AcqRel);
            sys::futex_wake(&WAKE);
        }
        None => {
            tell_threads(None);
            take_part();
        }
    }
}

/// How many times the dedicated thread had something to do.
static WAKE: AtomicU32 = AtomicU32::new(0);

/// The work of the dedicated thread.
pub fn serve(thread: &'static Thread) -> ! {
    loop {
        let seen = WAKE.load(Ordering::Acquire);
        if thread.state.load(Ordering::Acquire) == STATE_PENDING {
            run(thread);
        } else {
            sys::futex_sleep(&WAKE, seen);
        }
    }
}

/// The end of a request for this process.
fn end() {
    let fd = CONNECTION.swap(-1, Ordering::AcqRel);
    if fd >= 0 {
        sys::close(fd);
    }
    BUSY.fetch_add(1, Ordering::AcqRel);
    sys::futex_wake(&BUSY);
}

/// Tells all threads but one with callbacks, which counts: the one that calls.
fn tell_threads(but: Option<&Thread>) {
    let mut count = 0;
    for thread in thread::all() {
        let tid = thread.tid.load(Ordering::Acquire);
        let is_it = but.is_some_and(|but| std::ptr::eq(but, thread));
        // The dedicated one knows before all others.
        let takes_part = tid > 0 && (is_it || !thread.is_dedicated.load(Ordering::Acquire));
        thread.is_expected.store(takes_part, Ordering::Release);
        count += i32::from(takes_part);
    }
    EXPECTED.store(count, Ordering::Release);
    let own = sys::gettid();
    for thread in thread::all().filter(|thread| thread.is_expected.load(Ordering::Acquire)) {
        let tid = thread.tid.load(Ordering::Acquire);
        if tid != own && tid > 0 {
            sys::signal_thread(tid);
        }
    }
    tell_others();
}

/// Tells the threads without callbacks that do not block the signal, as they do while they wait for
/// the answer.
fn tell_others() {
    let (own, mut count) = (sys::gettid(), 0);
    sys::each_thread(|tid| {
        let takes_signals = || BEGINNER.load(Ordering::Acquire) == tid || !sys::blocks_signal(tid);
        if tid != own && thread::find(tid).is_none() && takes_signals() {
            count += i32::from(sys::signal_thread(tid));
        }
    });
    OTHERS[0].store(OTHERS[1].load(Ordering::Acquire) + count, Ordering::Release);
}

/// This thread has been told, or tells itself.
fn take_part() {
    if !is_busy() {
        return;
    }
    match thread::own() {
        Some(thread) if thread.is_dedicated.load(Ordering::Relaxed) => {}
        Some(thread) => {
            let to = STATE_PENDING;
            let told = thread.state.compare_exchange(STATE_IDLE, to, Ordering::AcqRel, Ordering::Relaxed);
            // In a critical section: when that is left.
            if told.is_ok() && thread.sections.load(Ordering::Acquire) == 0 {
                run(thread);
            }
        }
        None => {
            let seen = BUSY.load(Ordering::Acquire);
            OTHERS[1].fetch_add(1, Ordering::AcqRel);
            let result = await_answer();
            tell_event(HOOK_NONE, result);
            end_if_all_left();
            await_others(seen, result, HOLD[1].load(Ordering::Relaxed));
        }
    }
}

/// Runs the callbacks of a thread that is [`STATE_PENDING`].
pub fn run(thread: &'static Thread) {
    if !sections::await_none(is_cancelled) {
        return skip(thread);
    }
    let is_due =
        thread.state.compare_exchange(STATE_PENDING, STATE_ACTIVE, Ordering::AcqRel, Ordering::Relaxed);
    if is_due.is_ok() {
        thread.index.store(thread.count() as i32, Ordering::Relaxed);
        proceed(thread, 0);
    }
}

/// The request was cancelled before the callbacks of a thread could run.
fn skip(thread: &'static Thread) {
    let to = STATE_IDLE;
    if thread.state.compare_exchange(STATE_PENDING, to, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    // The dedicated thread is the only one that knows of it.
    let _ = EXPECTED.compare_exchange(UNKNOWN, 1, Ordering::AcqRel, Ordering::Relaxed);
    thread.is_expected.store(false, Ordering::Release);
    ARRIVED.fetch_add(1, Ordering::AcqRel);
    LEFT.fetch_add(1, Ordering::AcqRel);
    end_if_all_left();
}

/// Whether the coordinator has answered, or ended, before it was told that all are ready.
fn is_cancelled() -> bool {
    let fd = CONNECTION.load(Ordering::Acquire);
    if ANSWERED.load(Ordering::Acquire) == 0 && fd >= 0 && sys::await_readable(fd, 0) == Ok(true) {
        hear();
    }
    ANSWERED.load(Ordering::Acquire) != 0
}

/// What cr_checkpoint() does in a thread that runs callbacks: the next ones, and after the last of
/// them the checkpoint itself.
pub fn proceed(thread: &'static Thread, flags: c_int) -> c_int {
    let own = thread.index.load(Ordering::Relaxed);
    let is_outermost = own == thread.count() as i32;
    loop {
        if flags & ABORTS != 0 {
            thread.result.store(cancel(flags), Ordering::Relaxed);
            thread.index.store(-1, Ordering::Relaxed);
            break;
        }
        let index = thread.index.fetch_sub(1, Ordering::Relaxed) - 1;
        match usize::try_from(index) {
            Ok(at) => {
                let callback = thread.callback(at);
                if let Some((function, argument)) = callback.and_then(|c| Some((c.function?, c.argument))) {
                    thread.running.store(index, Ordering::Relaxed);
                    if function(argument) != 0 {
                        cancel(PERM_FAILURE);
                    }
                }
            }
            Err(_) => {
                if thread.is_dedicated.load(Ordering::Relaxed) {
                    tell_threads(Some(thread));
                }
                thread.result.store(arrive(), Ordering::Relaxed);
            }
        }
        if thread.index.load(Ordering::Relaxed) < 0 {
            break;
        }
    }
    let result = thread.result.load(Ordering::Relaxed);
    thread.running.store(own, Ordering::Relaxed);
    if is_outermost {
        let hold = match thread.hold.load(Ordering::Relaxed) {
            HOLD_DFLT => HOLD[0].load(Ordering::Relaxed),
            hold => hold,
        };
        let event = if thread.is_dedicated.load(Ordering::Relaxed) { HOOK_THREAD } else { HOOK_SIGNAL };
        thread.is_expected.store(false, Ordering::Release);
        thread.state.store(STATE_IDLE, Ordering::Release);
        leave(event, result, hold);
    }
    result
}

/// The code of an error that a callback gave, or that of the kind of its error.
fn code(flags: c_int) -> c_int {
    match (flags >> 16 & 0xffff, flags & ABORTS) {
        (_, OMIT) => EOMITTED,
        (0, PERM_FAILURE) => EPERMFAIL,
        (0, _) => ETEMPFAIL,
        (code, _) => code,
    }
}

/// A callback cancels the checkpoint, or leaves this process out.
fn cancel(flags: c_int) -> c_int {
    sys::send(CONNECTION.load(Ordering::Acquire), &Message::new(Kind::Abort, flags));
    if EXPECTED.load(Ordering::Acquire) == UNKNOWN {
        // The others take part, and learn of it.
        tell_threads(thread::own());
    }
    ARRIVED.fetch_add(1, Ordering::AcqRel);
    hear();
    -code(flags)
}

/// Waits, with the others, for the checkpoint: 0, the PID of who has restarted the job, or minus an
/// error code.
fn arrive() -> c_int {
    ARRIVED.fetch_add(1, Ordering::AcqRel);
    sys::futex_wake(&ANSWERED);
    await_answer()
}

fn await_answer() -> c_int {
    loop {
        if ANSWERED.load(Ordering::Acquire) != 0 {
            return RESULT.load(Ordering::Relaxed);
        }
        let others = OTHERS[1].load(Ordering::Acquire) >= OTHERS[0].load(Ordering::Acquire);
        if others && all(&ARRIVED) && take(&IS_HEARD) {
            sys::send(CONNECTION.load(Ordering::Acquire), &Message::new(Kind::Ready, 0));
            answer();
        } else if !sys::futex_wait(&ANSWERED, 0) {
            drop_ended();
            if all(&ARRIVED) {
                tell_others();
            }
        }
    }
}

/// Sets a flag; whether it was not set.
fn take(flag: &AtomicBool) -> bool {
    flag.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

/// Whether all that take part are counted.
fn all(count: &AtomicI32) -> bool {
    let expected = EXPECTED.load(Ordering::Acquire);
    expected != UNKNOWN && count.load(Ordering::Acquire) >= expected
}

/// Threads that have ended are waited for no longer.
fn drop_ended() {
    for thread in thread::all() {
        let tid = thread.tid.load(Ordering::Acquire);
        if tid == 0 || (tid > 0 && !sys::thread_exists(tid)) {
            thread.drop_expected();
        }
    }
}

/// Waits for the answer, unless another thread does.
fn hear() {
    if take(&IS_HEARD) {
        answer();
    }
}

/// Waits for the answer, and passes it to the others.
fn answer() {
    let mut room = [0; LONGEST];
    let received = sys::receive(CONNECTION.load(Ordering::Acquire), &mut room);
    let message = received.ok().and_then(|len| Message::decode(&room[..len]));
    let result = match message {
        Some(Message { kind: Kind::Result, value, text, .. }) => {
            if value > 0 {
                TOLD.set_path(text);
            }
            value
        }
        // Restarted by somebody who has nothing to say: the connection is another now.
        _ if sys::start_time() != STARTED.load(Ordering::Relaxed) => {
            TOLD.set_path(b"");
            1
        }
        // The coordinator has ended.
        _ => -libc::EINTR,
    };
    RESULT.store(result, Ordering::Relaxed);
    ANSWERED.store(1, Ordering::Release);
    sys::futex_wake(&ANSWERED);
}

/// The callbacks of a thread have returned.
fn leave(event: usize, result: c_int, hold: c_int) {
    let seen = BUSY.load(Ordering::Acquire);
    tell_event(event, result);
    LEFT.fetch_add(1, Ordering::AcqRel);
    end_if_all_left();
    await_others(seen, result, hold);
}

fn tell_event(event: usize, result: c_int) {
    if result >= 0 {
        let event = event + if result > 0 { HOOK_RESTART } else { 0 };
        sys::call_event(EVENTS[event].load(Ordering::Acquire), event as c_int);
    }
}

/// Waits until all callbacks have returned, if this thread is to be held that long.
fn await_others(seen: u32, result: c_int, hold: c_int) {
    let bit = if result > 0 { HOLD_RSTRT } else { HOLD_CONT };
    while result >= 0 && hold & bit != 0 && BUSY.load(Ordering::Acquire) == seen {
        if !sys::futex_wait(&BUSY, seen) && BUSY.load(Ordering::Acquire) == seen {
            drop_ended();
            end_if_all_left();
        }
    }
}

/// The last one ends the request.
fn end_if_all_left() {
    if all(&LEFT) && LEFT.swap(i32::MIN, Ordering::AcqRel) >= 0 {
        sys::send(CONNECTION.load(Ordering::Acquire), &Message::new(Kind::Done, 0));
        end();
    }
}

/// Adds a scope to the request; minus an error code if that fails.
pub fn forward(scope: c_int, target: c_int) -> c_int {
    let fd = CONNECTION.load(Ordering::Acquire);
    let message = Message { rest: [scope, target, 0, 0], ..Message::new(Kind::Forward, 0) };
    let mut room = [0; LONGEST];
    if !sys::send(fd, &message) {
        return -libc::EIO;
    }
    match sys::receive(fd, &mut room).map(|len| Message::decode(&room[..len])) {
        Ok(Some(Message { kind: Kind::Result, value, .. })) => value,
        _ => -libc::EIO,
    }
}

/// In a child: the request under way was the parent's.
pub fn forked() {
    let fd = CONNECTION.swap(-1, Ordering::AcqRel);
    if fd >= 0 {
        sys::close(fd);
    }
    BUSY.store(0, Ordering::Release);
    BEGINNER.store(0, Ordering::Release);
    is_ours();
}
