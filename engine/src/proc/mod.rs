//! /proc text turned into data.

pub mod pagemap;
pub mod smaps;
