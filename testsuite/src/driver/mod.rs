//! The outside of a run: where the runner is started ([`place`]), and how its events become results
//! ([`session`]).

pub mod guest;
mod host;
pub mod place;
pub mod session;

pub use guest::GuestPlace;
pub use host::HostPlace;
pub use place::{Ending, Place, PlaceError, StopFlag};
pub use session::{Observer, Session, Settings};
