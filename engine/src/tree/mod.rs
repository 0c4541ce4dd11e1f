//! Which processes are in scope, stopping and releasing them, and the order in which they are born again.

pub mod alone;
pub mod birth;
pub mod freeze;
pub mod freezer;
pub mod outside;
pub mod scope;

pub use freeze::{Frozen, Holder, Task};
pub use outside::Outside;
pub use scope::Scope;
