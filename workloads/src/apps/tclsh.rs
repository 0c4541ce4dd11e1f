//! tclsh adds in an event loop.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "tclsh with file events",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::write("sum.tcl", TEXT).context("write the program")?;
    adds(cx, "tclsh", &["sum.tcl"])
}

const TEXT: &str = r#"
fconfigure stdout -buffering line
set sum 0
proc next {} {
    global sum done
    if {[gets stdin line] < 0} { set done 1; return }
    incr sum $line
    puts $sum
}
fileevent stdin readable next
vwait done
"#;
