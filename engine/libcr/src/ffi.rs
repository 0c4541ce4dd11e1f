//! The interface that programs see. What each function does is in `include/libcr.h`.

use crate::codes::{
    CHECKPOINT_ARGS_VERSION, CONTEXTS, ENOINIT, ENOTCB, ERRORS, HOLD_BOTH, HOLD_DFLT, HOLD_READ,
    HOLD_SCOPE_INIT, HOLD_SCOPE_THREAD, HOLD_SCOPE_UNINIT, HOOKS, MAX_CALLBACKS, MIN_ERROR, SIGNAL_CONTEXT,
    STATE_ACTIVE, STATE_IDLE, STATE_PENDING, THREAD_CONTEXT,
};
use crate::critical;
use crate::process::{self, EVENTS, HOLD, IS_OMITTED, TOLD};
use crate::request::{CheckpointArgs, Handle};
use crate::sections;
use crate::sys;
use crate::thread::{self, Callback, Function, Thread};
use libc::{c_char, c_int, c_uint, c_ulong, c_void, timeval};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

extern "C" fn on_signal(_signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    let errno = sys::errno();
    // SAFETY: the kernel's.
    let (code, sender) = unsafe { sys::sender(info) };
    process::signalled(code, sender);
    sys::set_errno(errno);
}

/// Who forks, from before the fork until after it.
static FORKING: AtomicPtr<Thread> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn before_fork() {
    let own = thread::own().map_or(std::ptr::null_mut(), |thread| std::ptr::from_ref(thread).cast_mut());
    FORKING.store(own, Ordering::Release);
}

extern "C" fn in_child() {
    let by = FORKING.load(Ordering::Acquire);
    let by = thread::all().find(|thread| std::ptr::eq(*thread, by));
    process::forked();
    let own = by.map_or(0, |thread| thread.sections.load(Ordering::Relaxed));
    sections::forked(own.max(0) as u32);
    thread::forked(by);
}

/// When the library is loaded.
extern "C" fn load() {
    let preloaded = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    let omits = preloaded.to_string_lossy().contains("libcr_omit");
    IS_OMITTED.store(omits, Ordering::Relaxed);
    process::is_ours();
    sys::at_fork(before_fork, in_child);
    sys::install(on_signal);
}

// SAFETY: the C library calls what is in this section when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;

fn fail(errno: c_int) -> c_int {
    sys::set_errno(errno);
    -1
}

/// The calling thread, if it has called cr_init().
fn own() -> Option<&'static Thread> {
    let own = thread::own();
    if own.is_none() {
        sys::set_errno(ENOINIT);
    }
    own
}

/// The calling thread, if it runs a callback.
fn in_callback() -> Option<&'static Thread> {
    let is = |thread: &&Thread| thread.state.load(Ordering::Acquire) == STATE_ACTIVE;
    let own = thread::own().filter(is);
    if own.is_none() {
        sys::set_errno(ENOTCB);
    }
    own
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_init() -> c_int {
    thread::enter().clients.fetch_add(1, Ordering::Relaxed)
}

/// The thread that runs the callbacks in thread context, started if there is none.
fn dedicated() -> Option<&'static Thread> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(thread) = thread::dedicated() {
        return Some(thread);
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let builder = std::thread::Builder::new().name("libcr".into());
    let work = move || {
        sys::block_all_signals();
        let thread = thread::enter();
        thread.is_dedicated.store(true, Ordering::Release);
        let _ = sender.send(());
        process::serve(thread)
    };
    builder.spawn(work).ok()?;
    receiver.recv().ok()?;
    thread::dedicated()
}

/// Does something in a critical section; EBUSY in a callback.
fn outside_callbacks(work: impl FnOnce(&'static Thread) -> Result<c_int, c_int>) -> c_int {
    let Some(thread) = own() else { return -1 };
    if thread.state.load(Ordering::Acquire) == STATE_ACTIVE {
        return fail(libc::EBUSY);
    }
    critical::enter(thread, true);
    let done = work(thread);
    critical::leave(thread);
    done.unwrap_or_else(fail)
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_register_callback(
    function: Option<Function>,
    argument: *mut c_void,
    flags: c_int,
) -> c_int {
    let callback = Callback { function, argument };
    outside_callbacks(|own| {
        let thread = match flags & CONTEXTS {
            SIGNAL_CONTEXT => own,
            THREAD_CONTEXT => dedicated().ok_or(libc::ENOMEM)?,
            _ => return Err(libc::EINVAL),
        };
        if thread.count() >= MAX_CALLBACKS {
            return Err(libc::ENOSPC);
        }
        Ok(thread.add(callback) as c_int | flags & CONTEXTS)
    })
}

/// The place that an id of a callback stands for.
fn place(id: c_int, flags: c_int) -> Result<usize, c_int> {
    let same = flags & CONTEXTS == id & CONTEXTS;
    let at = usize::try_from(id & !CONTEXTS).ok().filter(|_| same && id >= 0);
    at.ok_or(libc::EINVAL)
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_replace_callback(
    id: c_int,
    function: Option<Function>,
    argument: *mut c_void,
    flags: c_int,
) -> c_int {
    let callback = Callback { function, argument };
    outside_callbacks(|own| {
        let at = place(id, flags)?;
        let thread = match flags & CONTEXTS {
            SIGNAL_CONTEXT => own,
            THREAD_CONTEXT => thread::dedicated().ok_or(libc::EINVAL)?,
            _ => return Err(libc::EINVAL),
        };
        if thread.replace(at, callback) { Ok(0) } else { Err(libc::EINVAL) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_replace_self(function: Option<Function>, argument: *mut c_void, flags: c_int) -> c_int {
    let Some(thread) = in_callback() else { return -1 };
    let context = if thread.is_dedicated.load(Ordering::Relaxed) { THREAD_CONTEXT } else { SIGNAL_CONTEXT };
    let at = usize::try_from(thread.running.load(Ordering::Relaxed));
    match at {
        Ok(at) if flags & CONTEXTS == context && thread.replace(at, Callback { function, argument }) => 0,
        _ => fail(libc::EINVAL),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_checkpoint(flags: c_int) -> c_int {
    match in_callback() {
        Some(thread) => process::proceed(thread, flags),
        None => -ENOTCB,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_enter_cs(_id: c_int) -> c_int {
    let Some(thread) = own() else { return -1 };
    critical::enter(thread, true);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_tryenter_cs(_id: c_int) -> c_int {
    let Some(thread) = own() else { return -1 };
    c_int::from(!critical::enter(thread, false))
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_leave_cs(_id: c_int) -> c_int {
    let Some(thread) = own() else { return -1 };
    critical::leave(thread);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_status() -> c_int {
    let Some(thread) = own() else { return -1 };
    match thread.state.load(Ordering::Acquire) {
        STATE_IDLE if process::is_busy() => STATE_PENDING,
        state => state,
    }
}

/// `struct cr_checkpoint_info`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CheckpointInfo {
    signal: c_int,
    destination: *const c_char,
    requester: c_int,
    target: c_int,
    scope: c_int,
}

/// `struct cr_restart_info`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RestartInfo {
    requester: c_int,
    source: *const c_char,
}

struct Own {
    checkpoint: Cell<CheckpointInfo>,
    restart: Cell<RestartInfo>,
    path: Cell<[u8; process::PATH]>,
}

thread_local! {
    static OWN: Own = const {
        let none = std::ptr::null();
        Own {
            checkpoint: Cell::new(CheckpointInfo { signal: 0, destination: none, requester: 0, target: 0, scope: 0 }),
            restart: Cell::new(RestartInfo { requester: 0, source: none }),
            path: Cell::new([0; process::PATH]),
        }
    };
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_get_checkpoint_info() -> *const CheckpointInfo {
    if in_callback().is_none() {
        return std::ptr::null();
    }
    OWN.with(|own| {
        own.path.set(TOLD.path());
        let number = |number: &std::sync::atomic::AtomicI32| number.load(Ordering::Relaxed);
        own.checkpoint.set(CheckpointInfo {
            signal: number(&TOLD.signal),
            destination: own.path.as_ptr().cast(),
            requester: number(&TOLD.requester),
            target: number(&TOLD.target),
            scope: number(&TOLD.scope),
        });
        own.checkpoint.as_ptr().cast_const()
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_get_restart_info() -> *const RestartInfo {
    let Some(thread) = in_callback() else { return std::ptr::null() };
    OWN.with(|own| {
        own.path.set(TOLD.path());
        let requester = thread.result.load(Ordering::Relaxed);
        own.restart.set(RestartInfo { requester, source: own.path.as_ptr().cast() });
        own.restart.as_ptr().cast_const()
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_forward_checkpoint(scope: c_int, target: c_int) -> c_int {
    if in_callback().is_none() {
        return -1;
    }
    match process::forward(scope, target) {
        0 => 0,
        code => fail(-code),
    }
}

/// `CR_HOOK_FN_ERROR`
const EVENT_ERROR: usize = usize::MAX;

#[unsafe(no_mangle)]
pub extern "C" fn cr_register_hook(event: c_int, function: usize) -> usize {
    if own().is_none() {
        return EVENT_ERROR;
    }
    match usize::try_from(event).ok().filter(|at| *at < HOOKS && function != EVENT_ERROR) {
        Some(at) => EVENTS[at].swap(function, Ordering::AcqRel),
        None => {
            sys::set_errno(libc::EINVAL);
            EVENT_ERROR
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_hold_ctrl(scope: c_int, flags: c_int) -> c_int {
    let Some(thread) = own() else { return -1 };
    let place = match scope {
        HOLD_SCOPE_THREAD => &thread.hold,
        HOLD_SCOPE_INIT => &HOLD[0],
        HOLD_SCOPE_UNINIT => &HOLD[1],
        _ => return fail(libc::EINVAL),
    };
    match flags {
        HOLD_READ => place.load(Ordering::Acquire),
        HOLD_DFLT if scope == HOLD_SCOPE_THREAD => place.swap(flags, Ordering::AcqRel),
        _ if flags & !HOLD_BOTH == 0 => place.swap(flags, Ordering::AcqRel),
        _ => fail(libc::EINVAL),
    }
}

fn change_persist(by: c_int) -> c_int {
    let Some(thread) = own() else { return -1 };
    let count = thread.persist.load(Ordering::Relaxed);
    match count.checked_add(by).filter(|count| *count >= 0) {
        Some(changed) => {
            thread.persist.store(changed, Ordering::Relaxed);
            count
        }
        None => fail(libc::ERANGE),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_inc_persist() -> c_int {
    change_persist(1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_dec_persist() -> c_int {
    change_persist(-1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cr_strerror(code: c_int) -> *const c_char {
    match usize::try_from(code - MIN_ERROR - 1).ok().and_then(|at| ERRORS.get(at)) {
        Some(text) => text.as_ptr(),
        // SAFETY: any number will do.
        None => unsafe { libc::strerror(code) },
    }
}

const LOCKED: u32 = 1;

/// # Safety
/// The pointer is to a `cr_spinlock_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_spinlock_init(lock: *mut c_uint) {
    // SAFETY: as the caller says.
    unsafe { AtomicU32::from_ptr(lock) }.store(0, Ordering::Release);
}

/// # Safety
/// The pointer is to a `cr_spinlock_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_spinlock_lock(lock: *mut c_uint) {
    // SAFETY: as the caller says.
    while unsafe { cr_spinlock_trylock(lock) } == 0 {
        std::thread::yield_now();
    }
}

/// # Safety
/// The pointer is to a `cr_spinlock_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_spinlock_unlock(lock: *mut c_uint) {
    // SAFETY: as the caller says.
    unsafe { AtomicU32::from_ptr(lock) }.store(0, Ordering::Release);
}

/// # Safety
/// The pointer is to a `cr_spinlock_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_spinlock_trylock(lock: *mut c_uint) -> c_int {
    // SAFETY: as the caller says.
    let lock = unsafe { AtomicU32::from_ptr(lock) };
    c_int::from(lock.compare_exchange(0, LOCKED, Ordering::AcqRel, Ordering::Relaxed).is_ok())
}

/// # Safety
/// The pointer is to a `cr_checkpoint_args_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cri_init_checkpoint_args_t(version: c_int, args: *mut CheckpointArgs) -> c_int {
    if !(1..=CHECKPOINT_ARGS_VERSION).contains(&version) {
        return fail(crate::codes::EVERSION);
    }
    // SAFETY: as the caller says.
    unsafe { args.write(CheckpointArgs::new()) };
    0
}

/// # Safety
/// The pointers are to a `cr_checkpoint_args_t` and a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_request_checkpoint(args: *const CheckpointArgs, handle: *mut c_ulong) -> c_int {
    // SAFETY: as the caller says.
    match unsafe { &*args }.request() {
        Ok(request) => {
            // SAFETY: as the caller says.
            unsafe { handle.write(Box::into_raw(Box::new(request)).expose_provenance() as c_ulong) };
            0
        }
        Err(code) => fail(code),
    }
}

/// The request of a handle.
///
/// # Safety
/// The pointer is null or to a handle, and that is 0 or one that was not reaped.
unsafe fn request<'a>(handle: *mut c_ulong) -> Option<&'a mut Handle> {
    // SAFETY: as the caller says.
    unsafe {
        let number = if handle.is_null() { 0 } else { handle.read() };
        std::ptr::with_exposed_provenance_mut::<Handle>(number as usize).as_mut()
    }
}

/// Waits, and takes the time from the limit as select(2) does.
///
/// # Safety
/// As [`request`]; the limit is null or a `struct timeval`.
unsafe fn wait(handle: *mut c_ulong, limit: *mut timeval) -> Result<bool, c_int> {
    // SAFETY: as the caller says.
    let (request, limit) = unsafe { (request(handle).ok_or(libc::EINVAL)?, limit.as_mut()) };
    let Some(limit) = limit else { return request.wait(-1) };
    let begin = std::time::Instant::now();
    let micros = limit.tv_sec.saturating_mul(1_000_000).saturating_add(limit.tv_usec);
    let done = request.wait(c_int::try_from((micros + 999) / 1000).unwrap_or(c_int::MAX).max(0));
    let left = (micros - begin.elapsed().as_micros() as i64).max(0);
    (limit.tv_sec, limit.tv_usec) = (left / 1_000_000, left % 1_000_000);
    done
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_wait_checkpoint(handle: *mut c_ulong, limit: *mut timeval) -> c_int {
    // SAFETY: as the caller says.
    unsafe { wait(handle, limit) }.map_or_else(fail, c_int::from)
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_log_checkpoint(handle: *mut c_ulong, len: c_uint, text: *mut c_char) -> c_int {
    // SAFETY: as the caller says.
    let Some(request) = (unsafe { request(handle) }) else { return fail(libc::EINVAL) };
    let log = request.log();
    if log.is_empty() {
        return 0;
    }
    if len > 0 {
        let cut = log.len().min(len as usize - 1);
        // SAFETY: the caller has `len` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(log.as_ptr(), text.cast(), cut);
            text.add(cut).write(0);
        }
    }
    log.len() as c_int + 1
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_reap_checkpoint(handle: *mut c_ulong) -> c_int {
    // SAFETY: as the caller says.
    let Some(request) = (unsafe { request(handle) }) else { return fail(libc::EINVAL) };
    // What is done, and has not been looked at.
    let _ = request.wait(0);
    let Some(code) = request.code() else { return fail(libc::EAGAIN) };
    // SAFETY: it was made by cr_request_checkpoint(), and is not used again.
    unsafe {
        drop(Box::from_raw(std::ptr::from_mut(request)));
        handle.write(0);
    }
    if code == 0 { 1 } else { fail(code) }
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_poll_checkpoint_msg(
    handle: *mut c_ulong,
    limit: *mut timeval,
    text: *mut *mut c_char,
) -> c_int {
    const BEFORE: c_int = -1;
    const AFTER: c_int = -2;
    // SAFETY: as the caller says; the text is freed by the caller.
    unsafe {
        match wait(handle, limit) {
            Ok(false) => return 0,
            Err(code) => {
                sys::set_errno(code);
                return BEFORE;
            }
            Ok(true) => {}
        }
        if !text.is_null() {
            let len = cr_log_checkpoint(handle, 0, std::ptr::null_mut());
            text.write(if len > 0 { libc::malloc(len as usize).cast() } else { std::ptr::null_mut() });
            if len > 0 && !text.read().is_null() {
                cr_log_checkpoint(handle, len as c_uint, text.read());
            }
        }
        if cr_reap_checkpoint(handle) < 0 { AFTER } else { 1 }
    }
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cr_poll_checkpoint(handle: *mut c_ulong, limit: *mut timeval) -> c_int {
    // SAFETY: as the caller says.
    unsafe { cr_poll_checkpoint_msg(handle, limit, std::ptr::null_mut()) }
}
