//! The workloads of each architecture, as listed by the corpus program itself. That of another
//! architecture is run in a guest, and its list is cached until the program changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cairn_qemu::Arch;
use cairn_qemu::kernels::fetch;
use cairn_testsuite::cell::Userland;
use cairn_testsuite::corpus::{self, Workload};
use cairn_testsuite::driver::guest::{self, corpus_path};

use crate::cross;
use crate::places::{Guest, Spot};
use crate::programs::{PerArch, Programs};
use crate::run::Corpora;
use crate::workspace::Workspace;

/// The corpora of all architectures in use.
pub fn of(workspace: &Workspace, programs: &PerArch, spots: &[Spot]) -> Result<Corpora> {
    let own = cross::host()?;
    let mut corpora: Corpora = BTreeMap::new();
    for spot in spots {
        let arch = spot.arch();
        if corpora.contains_key(&arch) {
            continue;
        }
        let built = &programs[&arch];
        let list = match spot {
            Spot::Guest(guest) if arch != own => foreign(workspace, built, guest)?,
            _ => corpus::list(program(built)?)?,
        };
        corpora.insert(arch, list);
    }
    Ok(corpora)
}

fn program(built: &Programs) -> Result<&Path> {
    let program = built.workloads.get(&Userland::Dynamic).context("the dynamic corpus was not built")?;
    Ok(program)
}

/// The list of a corpus that only a guest can run.
fn foreign(workspace: &Workspace, built: &Programs, guest: &Guest) -> Result<Vec<Workload>> {
    let arch: Arch = guest.kernel.arch;
    let (digest, _) = fetch::digest(program(built)?)?;
    let folder = workspace.ours().join("programs").join(arch.name());
    let kept = folder.join("corpus.json");
    let key = serde_json::Value::from(digest);
    if let Ok(bytes) = fs::read(&kept)
        && let Ok((of, list)) = serde_json::from_slice::<(serde_json::Value, Vec<Workload>)>(&bytes)
        && of == key
    {
        return Ok(list);
    }
    eprintln!("listing the corpus of {arch} in a guest");
    let said = ask(guest, &guest.base, &[&corpus_path(Userland::Dynamic), "list", "--json"])?;
    let list: Vec<Workload> =
        serde_json::from_str(&said).with_context(|| format!("read the list of workloads of {arch}"))?;
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(&kept, serde_json::to_vec(&(&key, &list))?)
        .with_context(|| format!("write {}", kept.display()))?;
    Ok(list)
}

/// Runs one command in a guest with this base file system to its end. Returns its standard
/// output.
pub fn ask(guest: &Guest, base: &Path, command: &[&str]) -> Result<String> {
    let dir = tempfile::Builder::new().prefix("cairn-ask-").tempdir().context("make a directory")?;
    let said = guest::ask(&guest.kernel, base, &guest.accel, guest.time_scale, dir.path(), command)?;
    match said.code {
        Some(0) => Ok(said.output),
        _ => bail!("{} in a guest of {}: {}", command.join(" "), guest.kernel.release, said.end),
    }
}
