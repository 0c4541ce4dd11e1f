//! How guests are executed: by KVM or by TCG.

use serde::{Deserialize, Serialize};

use crate::kernels::Kernel;
use crate::machine::Machine;

/// How the guest's instructions are executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the hardware, through KVM.
    Kvm,
    /// By QEMU's translator, TCG.
    Tcg {
        /// Why KVM is not used.
        why: String,
    },
}

impl Accel {
    /// The factor for timeouts on this machine, with this kernel.
    pub fn time_scale(&self, kernel: &Kernel) -> f64 {
        /// Slowdown by KASAN and lockdep.
        const SANITIZED: f64 = 4.0;
        let machine = match self {
            Accel::Kvm => 1.0,
            Accel::Tcg { .. } => Machine::of(kernel.arch).tcg_scale,
        };
        if kernel.config.enabled("CONFIG_KASAN") { machine * SANITIZED } else { machine }
    }

    /// `KVM` or `TCG`.
    pub fn name(&self) -> &'static str {
        match self {
            Accel::Kvm => "KVM",
            Accel::Tcg { .. } => "TCG",
        }
    }
}
