//! Registers of each architecture, in threads blocked in a system call and in mid-computation. A
//! workload of one architecture exists only there; the group has the same name everywhere.

mod helpers;
#[cfg(not(target_arch = "aarch64"))]
mod protection_keys;
mod scalar_in_motion;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "powerpc64")]
mod powerpc64le;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::WORKLOADS;
#[cfg(target_arch = "powerpc64")]
pub use powerpc64le::WORKLOADS;
#[cfg(target_arch = "x86_64")]
pub use x86_64::WORKLOADS;
