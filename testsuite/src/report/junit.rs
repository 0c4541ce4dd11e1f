//! JUnit XML for existing tools: one suite per kernel, one case per cell. A case is identified by
//! its class and name, `6.12/x86_64/pipes` and `full/once/dynamic/cairn`, which are unique in the
//! run.

use std::time::Duration;

use jiff::tz::TimeZone;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::results::{CellResult, KernelInfo, Results};
use crate::verdict::Verdict;

/// Renders a run.
///
/// # Errors
/// Those of the XML writer.
pub fn render(results: &Results) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("cairn");
    report.set_time(Duration::from_millis(results.run.wall_ms));
    for kernel in &results.kernels {
        report.add_test_suite(suite(results, kernel));
    }
    if !results.absent.is_empty() {
        let mut suite = TestSuite::new("unavailable kernels");
        for absent in &results.absent {
            let mut status = TestCaseStatus::skipped();
            status.set_message(absent.reason.as_str());
            let mut case = TestCase::new("available", status);
            case.set_classname(format!("{}/{}", absent.kernel, absent.arch));
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn suite(results: &Results, kernel: &KernelInfo) -> TestSuite {
    let run = &results.run;
    let mut suite = TestSuite::new(kernel.name());
    suite.set_time(Duration::from_millis(kernel.wall_ms));
    suite.extra.insert(
        "timestamp".into(),
        run.started.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S").to_string().into(),
    );
    suite.extra.insert("hostname".into(), run.host.name.as_str().into());
    suite.add_property(("release", kernel.release.as_str()));
    suite.add_property(("package", kernel.package.as_str()));
    suite.add_property(("sha256", kernel.sha256.as_deref().unwrap_or_default()));
    suite.add_property(("accel", kernel.accel.as_str()));
    suite.add_property(("seed", run.seed.to_string().as_str()));
    for (name, engine) in &kernel.engines {
        let about = format!("{}, {}, sha256 {}", engine.version, engine.program, engine.sha256);
        suite.add_property((format!("engine {name}").as_str(), about.as_str()));
    }
    for cell in &results.cells {
        if cell.cell.kernel == kernel.label && cell.cell.arch == kernel.arch {
            suite.add_test_case(case(cell));
        }
    }
    for check in kernel.module.iter().flat_map(|module| &module.checks) {
        let status = match &check.failure {
            None => TestCaseStatus::success(),
            Some(why) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(why.as_str());
                status
            }
        };
        let mut case = TestCase::new(check.name.as_str(), status);
        case.set_classname(format!("{}/kernel module", kernel.name()));
        suite.add_test_case(case);
    }
    if !kernel.complaints.is_empty() {
        let told = kernel.complaints.iter().map(|said| format!("{}: {}", said.when(), said.text));
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(told.collect::<Vec<_>>().join("\n"));
        let mut case = TestCase::new("the kernel, while no cell was running", status);
        case.set_classname(kernel.name());
        suite.add_test_case(case);
    }
    suite
}

fn case(result: &CellResult) -> TestCase {
    let cell = &result.cell;
    let message = match result.stage {
        Some(stage) => format!("{}: {stage}: {}", result.verdict, result.reason),
        None => format!("{}: {}", result.verdict, result.reason),
    };
    let status = match result.verdict {
        Verdict::Pass | Verdict::Xpass => TestCaseStatus::success(),
        Verdict::Flaky => {
            let mut status = TestCaseStatus::success();
            let mut rerun = TestRerun::new(NonSuccessKind::Failure);
            rerun.set_message(result.reason.as_str());
            status.add_rerun(rerun);
            status
        }
        Verdict::Skip | Verdict::Xfail => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message.as_str());
            status
        }
        red => {
            let kind = if red == Verdict::Fail { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(message.as_str()).set_type(red.name()).set_description(result.repro.as_str());
            status
        }
    };
    let name = cell.workload.split_once('/').map_or(cell.workload.as_str(), |(_, name)| name);
    let name = format!("{name}/{}/{}/{}", cell.mode, cell.userland, cell.engine);
    let mut case = TestCase::new(name, status);
    case.set_classname(format!("{}/{}/{}", cell.kernel, cell.arch, cell.group()));
    case.set_time(Duration::from_millis(result.duration_ms));
    case.add_property(("verdict", result.verdict.name()));
    if let Some(stage) = result.stage {
        case.add_property(("stage", stage.to_string().as_str()));
    }
    if let Some(bundle) = &result.bundle {
        case.add_property(("bundle", bundle.as_str()));
    }
    if result.verdict == Verdict::Xpass {
        case.set_system_out(message);
    }
    case
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::report::{CellResult, Complaint, sample};

    #[test]
    fn no_two_cases_are_the_same_to_a_server() {
        let mut run = sample::with_module();
        run.kernels[0].complaints.push(Complaint { text: "WARNING".into(), after: None, repro: None });
        let xml = super::render(&run).unwrap();
        let cases: Vec<&str> =
            xml.lines().map(str::trim).filter(|line| line.starts_with("<testcase ")).collect();
        let ids: BTreeSet<&str> = cases.iter().map(|case| case.split(" time=").next().unwrap()).collect();
        assert!(cases.len() > run.cells.len());
        assert_eq!(ids.len(), cases.len());
    }

    #[test]
    fn what_was_not_run_is_an_error() {
        let mut run = sample::run();
        for cell in &mut run.cells {
            *cell = CellResult::not_run(cell.cell.clone(), cell.repro.clone());
        }
        let xml = super::render(&run).unwrap();
        assert!(xml.contains("failures=\"0\" errors=\"7\""), "{xml}");
        assert!(xml.contains("<error message=\"not-run: not run\" type=\"not-run\">"), "{xml}");
    }

    #[test]
    fn xml() {
        insta::assert_snapshot!(super::render(&sample::run()).unwrap());
    }
}
