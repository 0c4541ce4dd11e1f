//! What is said about a run: `results.json`, from which everything else can be rendered again.

pub mod compare;
pub mod html;
pub mod junit;
pub mod results;
pub mod terminal;

pub use results::{CellResult, KernelInfo, ModuleReport, Results, RunInfo};
