//! Reports of a run: `results.json`, from which all others can be rendered.

pub mod compare;
pub mod file;
pub mod html;
pub mod junit;
pub mod merge;
pub mod results;
#[cfg(test)]
pub(crate) mod sample;
pub mod terminal;

pub use file::Journal;
pub use merge::MergeError;
pub use results::{
    Absent, CellResult, Complaint, Conclusion, EngineInfo, Host, KernelInfo, ModuleReport, Results, RunInfo,
};
