//! `cairn about`

use super::args::AboutArgs;
use cairn::sys::kmod::{About, DEVICE, Device};
use serde_json::json;

pub fn run(args: &AboutArgs) -> anyhow::Result<u8> {
    let module = Device::open().and_then(|device| device.about());
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        let (module, absent) = match &module {
            Ok(about) => (as_json(about), None),
            Err(e) => (serde_json::Value::Null, Some(e.to_string())),
        };
        println!("{}", json!({ "version": version, "module": module, "module_absent": absent }));
        return Ok(0);
    }
    println!("cairn {version}");
    match module {
        Ok(about) => {
            let ours = if about.is_spoken() { "" } else { ", which this program does not speak" };
            println!("module {}, ABI {}{ours}", about.version(), about.abi_version);
            println!("  features: {}", some(&about.features().join(", ")));
            println!("  sources:  {}", some(&about.source()));
        }
        Err(e) => println!("no module: {DEVICE}: {e}"),
    }
    Ok(0)
}

fn some(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn as_json(about: &About) -> serde_json::Value {
    json!({
        "version": about.version(),
        "abi": about.abi_version,
        "spoken": about.is_spoken(),
        "features": about.features(),
        "source": about.source(),
    })
}
