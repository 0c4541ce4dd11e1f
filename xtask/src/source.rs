//! The package archive that the user selected.

use cairn_qemu::cache::Cache;
use cairn_qemu::kernels::Options;
use cairn_qemu::{Arch, progress};
use clap::Parser;

/// Where kernels come from.
#[derive(Parser, Clone)]
pub struct KernelSource {
    /// Use only what is already here, do not access the network
    #[arg(long)]
    pub offline: bool,
    /// Address of the package archive; otherwise CAIRN_MIRROR, otherwise the machine's apt sources
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// The options of every archive access.
pub fn options<'a>(
    arch: Arch,
    source: &KernelSource,
    cache: &'a Cache,
    progress: &'a dyn progress::Progress,
) -> Options<'a> {
    Options { arch, mirror: source.mirror.clone(), keyring: None, offline: source.offline, cache, progress }
}
