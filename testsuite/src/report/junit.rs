//! JUnit XML, for whatever already reads it: one suite for each kernel, one case for each cell.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::results::{CellResult, Results};
use crate::verdict::Verdict;

/// Renders a run.
///
/// # Errors
/// What the XML writer says.
pub fn render(results: &Results) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("cairn");
    report.set_time(Duration::from_millis(results.run.wall_ms));
    for kernel in &results.kernels {
        let mut suite = TestSuite::new(format!("{}/{}", kernel.label, kernel.arch));
        suite.set_time(Duration::from_millis(kernel.wall_ms));
        suite.add_property(("release", kernel.release.as_str()));
        suite.add_property(("package", kernel.package.as_str()));
        suite.add_property(("accel", kernel.accel.as_str()));
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
            case.set_classname("kernel module");
            suite.add_test_case(case);
        }
        if !kernel.complaints.is_empty() {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(kernel.complaints.join("\n"));
            suite.add_test_case(TestCase::new("the kernel, while no cell ran", status));
        }
        report.add_test_suite(suite);
    }
    report.to_string()
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
            status.set_message(message);
            status
        }
        red => {
            let kind = if red == Verdict::Fail { NonSuccessKind::Failure } else { NonSuccessKind::Error };
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(message).set_type(red.name()).set_description(result.repro.as_str());
            status
        }
    };
    let name = format!("{}/{}/{}/{}", cell.userland, cell.engine, cell.workload, cell.mode);
    let mut case = TestCase::new(name, status);
    case.set_classname(cell.group()).set_time(Duration::from_millis(result.duration_ms));
    case
}

#[cfg(test)]
mod tests {
    use crate::report::results::sample;

    #[test]
    fn xml() {
        insta::assert_snapshot!(super::render(&sample::run()).unwrap());
    }
}
