//! What differs between architectures: registers, the system call ABI, extended register sets, the executor stub.
//!
//! Every file here offers the same names; the rest of the engine names no register.
//!
//! # Safety
//! The only `unsafe` is the executor stub, assembled here and read as bytes; it is never called in this process.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("cairn has no engine for this architecture yet");
