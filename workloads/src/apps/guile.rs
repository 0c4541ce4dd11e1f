//! guile adds with numbers that grow without limit.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "guile with its garbage collector's threads",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "guile", &["--no-auto-compile", "-c", TEXT])
}

const TEXT: &str = r#"
(use-modules (ice-9 rdelim))
(let loop ((sum 0))
  (let ((line (read-line)))
    (unless (eof-object? line)
      (let ((sum (+ sum (string->number line))))
        (display sum) (newline) (force-output)
        (loop sum)))))
"#;
