//! A small run with one result of each kind, for the snapshots of every report.

use super::results::*;
use crate::cell::{Cell, Mode, Userland};
use crate::event::Measured;
use crate::partition::{ListDigest, Partition};
use crate::verdict::{Stage, Verdict};
use std::collections::BTreeMap;

fn cell(kernel: &str, workload: &str, mode: Mode, verdict: Verdict, reason: &str) -> CellResult {
    let cell = Cell {
        kernel: kernel.into(),
        arch: "x86_64".into(),
        userland: Userland::Dynamic,
        engine: "cairn".into(),
        workload: workload.into(),
        mode,
    };
    CellResult {
        repro: format!("cargo xtask repro {cell}"),
        bundle: verdict.is_red().then(|| format!("red/{}", cell.slug())),
        cell,
        verdict,
        stage: verdict.is_red().then_some(Stage::Verify),
        reason: reason.into(),
        duration_ms: 120,
        attempts: if verdict == Verdict::Flaky { 2 } else { 1 },
        measured: vec![Measured {
            stage: Stage::Checkpoint,
            pause_ns: Some(1_500_000),
            total_ns: Some(4_000_000),
            bytes: Some(65_536),
        }],
        notes: Vec::new(),
    }
}

pub(crate) fn run() -> Results {
    let kernel = |label: &str, release: &str| KernelInfo {
        label: label.into(),
        arch: "x86_64".into(),
        release: release.into(),
        package: format!("linux-image-{release}"),
        suite: Some("bullseye".into()),
        sha256: Some("00ff".into()),
        accel: "tcg".into(),
        no_kvm: Some("/dev/kvm: No such file or directory".into()),
        qemu: Some("QEMU emulator version 8.1.0".into()),
        time_scale: 8.0,
        engines: BTreeMap::from([(
            "cairn".into(),
            EngineInfo {
                version: "cairn 0.1.0".into(),
                program: "/usr/bin/cairn".into(),
                sha256: "0123456789abcdef".repeat(4),
            },
        )]),
        absent: BTreeMap::new(),
        module: None,
        complaints: Vec::new(),
        boots: 1,
        wall_ms: 61_000,
    };
    let mut results = Results {
        version: VERSION,
        run: RunInfo {
            id: "20260102-030405".into(),
            started: "2026-01-02T03:04:05Z".parse().unwrap(),
            wall_ms: 125_000,
            revision: Some("0123456789ab".into()),
            host: Host { name: "tester".into(), release: "6.18.0".into(), arch: "x86_64".into(), cpus: 2 },
            compiler: "rustc 1.95.0".into(),
            command: vec!["test".into(), "--kernel".into(), "5.10".into()],
            requested: vec!["5.10".into(), "7.3".into()],
            seed: 1,
            jobs: 0,
            retries: 1,
            timeout_scale: 1.0,
            expectations_sha256: None,
            part: Partition::WHOLE,
            list: ListDigest { cells: 0, sha256: String::new() },
            interrupted: false,
        },
        absent: Vec::new(),
        expectations: Vec::new(),
        kernels: vec![kernel("5.10", "5.10.0-39-cloud-amd64"), kernel("7.3", "7.3.1+deb14-cloud-amd64")],
        cells: vec![
            cell("5.10", "fp/avx", Mode::Once, Verdict::Pass, ""),
            cell("5.10", "memory/guard", Mode::Once, Verdict::Skip, "needs MADV_GUARD_INSTALL"),
            cell("5.10", "pipes/full", Mode::Once, Verdict::Xfail, "one byte lost; expected: known <loss>"),
            cell("5.10", "pipes/full", Mode::Twice, Verdict::Flaky, "first: byte 3"),
            cell("7.3", "fp/avx", Mode::Once, Verdict::Fail, "ymm3: 0 & not <7>"),
            cell("7.3", "memory/guard", Mode::Once, Verdict::Panic, "Kernel panic - not syncing"),
            cell("7.3", "pipes/full", Mode::Once, Verdict::Xpass, "expected to fail: known <loss>"),
        ],
    };
    let cells: Vec<&Cell> = results.cells.iter().map(|result| &result.cell).collect();
    results.run.list = ListDigest::of(&cells);
    results
}

/// The same, with checks of the module on both kernels.
pub(crate) fn with_module() -> Results {
    let mut run = run();
    for (kernel, lines) in run.kernels.iter_mut().zip([
        &[
            "ok loads",
            "ok a forged file asks for root's ids",
            "# seed 1: 400 requests, 40 granted",
            "ok fuzz",
        ][..],
        &["ok loads", "FAIL fuzz: EIO, which is <not> documented"],
    ]) {
        let module = kernel.module.get_or_insert_default();
        lines.iter().for_each(|line| module.hear(line));
    }
    run
}

/// The same cells, with the second kernel's on another architecture and a kernel of the same name.
pub(crate) fn mixed() -> Results {
    let mut run = run();
    let second = std::mem::replace(&mut run.kernels[1].label, "5.10".into());
    run.kernels[1].arch = "aarch64".into();
    for cell in run.cells.iter_mut().map(|cell| &mut cell.cell).filter(|cell| cell.kernel == second) {
        cell.kernel = "5.10".into();
        cell.arch = "aarch64".into();
    }
    run
}
