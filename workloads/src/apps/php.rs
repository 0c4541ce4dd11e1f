//! php adds in a generator.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "php with a generator", needs: &[Need::Installed], active: true, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "php", &["-r", TEXT])
}

const TEXT: &str = r#"
function adder() { $s = 0; while (true) { $n = yield $s; $s += $n; } }
$adder = adder();
$adder->current();
while (($line = fgets(STDIN)) !== false) { echo $adder->send((int) $line), "\n"; }
"#;
