//! Which kernels a command runs on: the flags, and what follows from them.

use anyhow::{Result, bail};
use clap::Parser;

use crate::campaign::Plan;
use crate::places::Spot;
use crate::programs::Programs;
use crate::room::Room;

#[derive(Parser)]
pub struct KernelArgs {
    /// Kernel: 6.x, 6.12, 6.12.107, all, host, a vmlinuz, a linux-image .deb, a build tree; repeatable
    #[arg(long, value_name = "KERNEL", default_value = "6.x")]
    pub kernel: Vec<String>,
    /// Architecture of the guests
    #[arg(long, default_value = std::env::consts::ARCH)]
    pub arch: String,
    /// Use only what is already here, nothing from the network
    #[arg(long)]
    pub offline: bool,
    /// Address of the package archive; otherwise CAIRN_MIRROR, otherwise the machine's apt sources
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// Kernels that were chosen and are not yet prepared.
pub struct Choice {
    host: bool,
}

/// Resolves the flags; what does not exist is an error here, before anything is built.
pub fn choose(_room: &Room, args: &KernelArgs) -> Result<Choice> {
    if args.arch != "x86_64" {
        bail!("architecture {} is not supported yet; x86_64 is", args.arch);
    }
    let (host, rest): (Vec<&String>, Vec<&String>) = args.kernel.iter().partition(|text| *text == "host");
    if !rest.is_empty() {
        bail!("guests are not wired yet");
    }
    Ok(Choice { host: !host.is_empty() })
}

impl Choice {
    /// Makes every chosen kernel ready to run on.
    pub fn prepare(
        self,
        _room: &Room,
        _args: &KernelArgs,
        _plan: &Plan,
        _programs: &Programs,
    ) -> Result<Vec<Spot>> {
        let mut spots = Vec::new();
        if self.host {
            spots.push(Spot::host()?);
        }
        Ok(spots)
    }
}
