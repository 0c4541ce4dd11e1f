//! The kernel module's device: `cairn-kmod-abi`, under the name that the engine uses.

pub use cairn_kmod_abi::*;
