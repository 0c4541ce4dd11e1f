//! node: each number goes by HTTP to a server in the same process, which has a worker add it.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "node with a worker thread, timers and an HTTP server with a client that stays connected",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "node", &["-e", TEXT])
}

const TEXT: &str = r#"
const { Worker } = require("worker_threads");
const http = require("http"), readline = require("readline");
const worker = new Worker(`
  const { parentPort } = require("worker_threads");
  let total = 0;
  parentPort.on("message", (n) => parentPort.postMessage(total += n));
`, { eval: true });
const add = (n) => new Promise((done) => { worker.once("message", done); worker.postMessage(n); });
setInterval(() => {}, 1);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const server = http.createServer(async (request, response) => {
  response.end(String(await add(Number(request.url.slice(1)))));
});
server.listen(0, "127.0.0.1", async () => {
  const port = server.address().port;
  const get = (n) => new Promise((done, failed) => {
    http.get({ port, host: "127.0.0.1", path: "/" + n, agent }, (response) => {
      let body = "";
      response.on("data", (part) => body += part).on("end", () => done(body));
    }).on("error", failed);
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(await get(Number(line)));
  }
  process.exit(0);
});
"#;
