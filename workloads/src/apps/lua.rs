//! lua adds in a coroutine.

use super::helpers::{command, converse, sum};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "lua with coroutines", needs: &[Need::Installed], active: true, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    let mut program = command("lua5.4")?;
    program.args(["-e", TEXT]);
    converse(cx, program, sum)
}

const TEXT: &str = r#"
io.stdout:setvbuf("line")
local adder = coroutine.wrap(function(n) local s = 0; while true do s = s + n; n = coroutine.yield(s) end end)
for line in io.lines() do print(adder(tonumber(line))) end
"#;
