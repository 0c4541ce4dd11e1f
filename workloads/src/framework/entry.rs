//! The list of a group's workloads. A line in it declares the module, adds the workload to the list
//! and names it.

use super::Workload;

/// A workload, and where its line stands.
pub struct Entry {
    /// The path of the module with the list: `cairn_workloads::fp::x86_64`.
    pub list: &'static str,
    /// The module of the workload: `segment_bases`.
    pub module: &'static str,
    pub workload: Workload,
}

impl Entry {
    /// The group: the module next to the root of the crate, however deep below it the list is.
    pub fn group(&self) -> &'static str {
        self.list.split("::").nth(1).unwrap_or(self.list)
    }

    /// `group/name`, as users write it: the name is the module's, in kebab case.
    pub fn id(&self) -> String {
        format!("{}/{}", self.group(), self.module.replace('_', "-"))
    }
}

/// Declares the modules of workloads and lists them as `WORKLOADS`, in the same order.
///
/// `use super::module;` lists a workload whose module is declared one level up. Attributes of a
/// line hold for the declaration and for the entry.
macro_rules! corpus {
    ($($(#[$attribute:meta])* $(mod $module:ident)? $(use super::$shared:ident)?;)*) => {
        $($(#[$attribute])* $(mod $module;)? $(use super::$shared;)?)*

        /// Every workload of this group.
        pub const WORKLOADS: &[$crate::framework::Entry] = &[$(
            $(#[$attribute])*
            $crate::framework::Entry {
                list: module_path!(),
                module: stringify!($($module)? $($shared)?),
                workload: $($module)? $($shared)? ::WORKLOAD,
            },
        )*];
    };
}

pub(crate) use corpus;
