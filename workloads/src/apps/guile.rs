//! guile adds with numbers that grow without limit.

use super::helpers::{command, converse, sum};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "guile with its garbage collector's threads",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut program = command("guile")?;
    program.args(["--no-auto-compile", "-c", TEXT]);
    converse(cx, program, sum)
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
