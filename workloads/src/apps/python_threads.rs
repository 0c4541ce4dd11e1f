//! python adds in a thread, and waits with epoll.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "python with threads, queues, an epoll and a timer",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "python3", &["-c", TEXT])
}

const TEXT: &str = r#"
import os, queue, select, signal, sys, threading
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
ticks = 0
def tick(number, frame):
    global ticks
    ticks += 1
signal.signal(signal.SIGALRM, tick)
asked, answered = queue.Queue(), queue.Queue()
def adder():
    total = 0
    while True:
        total += asked.get()
        answered.put(total)
for _ in range(3):
    threading.Thread(target=lambda: threading.Event().wait(), daemon=True).start()
threading.Thread(target=adder, daemon=True).start()
poll = select.epoll()
poll.register(0, select.EPOLLIN)
held = b""
while True:
    poll.poll()
    got = os.read(0, 4096)
    if not got: break
    held += got
    while b"\n" in held:
        line, held = held.split(b"\n", 1)
        asked.put(int(line))
        print(answered.get(), flush=True)
"#;
