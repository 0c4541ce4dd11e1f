//! asyncio: a server and its client in one event loop.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "an event loop with a server, a client and subprocesses",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "python3", &["-c", TEXT])
}

const TEXT: &str = r#"
import asyncio, sys
total = 0
async def serve(reader, writer):
    global total
    while line := await reader.readline():
        total += int(line)
        writer.write(b"%d\n" % total)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    asyncio.create_task(asyncio.sleep(3600))
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        writer.write(line)
        print((await reader.readline()).decode().strip(), flush=True)
asyncio.run(main())
"#;
