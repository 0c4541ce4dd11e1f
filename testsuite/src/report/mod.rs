//! What is said about a run: `results.json`, from which everything else can be rendered again.

pub mod compare;
pub mod html;
pub mod junit;
pub mod merge;
pub mod results;
pub mod terminal;

pub use results::{
    Absent, CellResult, Complaint, Conclusion, EngineInfo, Host, KernelInfo, ModuleReport, Results, RunInfo,
};
