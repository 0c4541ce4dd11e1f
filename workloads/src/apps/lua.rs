//! lua adds in a coroutine.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload =
    Workload { purpose: "lua with coroutines", needs: &[Need::Installed], active: true, statik: false, run };

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "lua5.4", &["-e", TEXT])
}

const TEXT: &str = r#"
io.stdout:setvbuf("line")
local adder = coroutine.wrap(function(n) local s = 0; while true do s = s + n; n = coroutine.yield(s) end end)
for line in io.lines() do print(adder(tonumber(line))) end
"#;
