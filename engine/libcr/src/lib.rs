//! `libcr.so.0`: what BLCR's library offers to programs (BLCR 0.8.6, `libcr.h`), without a kernel
//! module.
//!
//! A checkpoint is coordinated by a process of cairn, outside the job (`engine/src/cli/blcr/`). It
//! asks a process that has this library by signal 64. The thread that gets the signal connects to
//! the coordinator; then the callbacks run, those in thread context first, and each thread waits in
//! the innermost `cr_checkpoint()`. When all wait, the coordinator is told, saves the job from
//! outside, and answers. After a restart there is another answer to be read in the same place.
//!
//! `ffi` is the interface, `process` takes part in a request, `thread` is the table of threads that
//! called `cr_init()`, `critical` has the critical sections, `request` is the requester's side.
//! Whatever a signal handler calls makes system calls and uses atomics, and locks only what is
//! never held while a handler may run.

#[path = "../../src/cli/blcr/wire.rs"]
#[allow(dead_code, reason = "the coordinator uses the other half")]
mod wire;

mod codes;
mod connections;
mod critical;
mod ffi;
mod process;
mod request;
mod sections;
mod sys;
mod thread;
