//! Terminals: settings, and the line discipline between the two sides of a pseudo-terminal.

pub mod line;
pub mod settings;

pub use settings::Settings;
