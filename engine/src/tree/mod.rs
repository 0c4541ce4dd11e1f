//! Which processes are in scope, stopping and releasing them, and the order in which they are
//! created again.

pub mod creation;
pub mod freeze;
pub mod freezer;
pub mod outside;
pub mod scope;
pub mod shared_state;

pub use freeze::{Frozen, Holder, Task};
pub use outside::Outside;
pub use scope::Scope;
