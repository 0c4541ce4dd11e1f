//! The processes in scope, freezing and thawing them, and the order in which they are recreated.

pub mod creation;
pub mod freeze;
pub mod freezer;
pub mod left_behind;
pub mod outside;
pub mod scope;
pub mod shared_state;

pub use freeze::{Frozen, Holder, Task};
pub use outside::{ObjectUse, Outside};
pub use scope::Scope;
