//! ruby adds in a thread and counts in a fiber.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "ruby with threads, queues and fibers",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "ruby", &["-e", TEXT])
}

const TEXT: &str = r#"
STDOUT.sync = true
asked, answered = Queue.new, Queue.new
Thread.new { total = 0; loop { total += asked.pop; answered.push(total) } }
3.times { Thread.new { sleep } }
counter = Fiber.new { n = 0; loop { Fiber.yield n; n += 1 } }
STDIN.each_line do |line|
  raise "lost count" unless counter.resume == line.to_i
  asked.push(line.to_i)
  puts answered.pop
end
"#;
