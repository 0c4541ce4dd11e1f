//! `cairn about`

use super::args::AboutArgs;
use super::out;
use cairn::sys::kmod::{DEVICE, Device, Info};
use serde_json::json;

pub fn run(args: &AboutArgs) -> anyhow::Result<u8> {
    let module = Device::open().and_then(|device| device.info());
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        let (module, absent) = match &module {
            Ok(about) => (as_json(about), None),
            Err(e) => (serde_json::Value::Null, Some(e.to_string())),
        };
        out(&format!("{}\n", json!({ "version": version, "module": module, "module_absent": absent })))?;
        return Ok(0);
    }
    let mut told = format!("cairn {version}\n");
    match module {
        Ok(about) => {
            let ours = if about.is_spoken() { "" } else { ", not supported by this program" };
            told += &format!("module {}, ABI {}{ours}\n", about.version(), about.abi_version);
            told += &format!("  features: {}\n", some(&about.features().join(", ")));
            told += &format!("  sources:  {}\n", some(&about.source()));
        }
        Err(e) => told += &format!("no module: {DEVICE}: {e}\n"),
    }
    out(&told)?;
    Ok(0)
}

fn some(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn as_json(about: &Info) -> serde_json::Value {
    json!({
        "version": about.version(),
        "abi": about.abi_version,
        "spoken": about.is_spoken(),
        "features": about.features(),
        "source": about.source(),
    })
}
