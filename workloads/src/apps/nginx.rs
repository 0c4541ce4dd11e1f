//! nginx with two workers, and connections that are kept alive.

use super::helpers::{Server, command, connected, free_port, keep_asking};
use crate::framework::prelude::*;
use std::io::Write as _;
use std::net::TcpStream;

pub const WORKLOAD: Workload = Workload {
    purpose: "nginx with its workers and two connections that stay",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let port = free_port()?;
    let settings = format!(
        "daemon off; user root; worker_processes 2; pid nginx.pid; error_log stderr;
        events {{ }}
        http {{
            access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            server {{ listen 127.0.0.1:{port}; location / {{ add_header Number $arg_number; return 200 '$connection_requests'; }} }}
        }}"
    );
    std::fs::write("nginx.conf", settings).context("write the settings")?;
    let mut nginx = command("nginx")?;
    let server = Server::start(nginx.arg("-p").arg(&cx.dir).args(["-c", "nginx.conf", "-e", "stderr"]))?;
    let mut clients = [
        connected(|| TcpStream::connect(("127.0.0.1", port)))?,
        connected(|| TcpStream::connect(("127.0.0.1", port)))?,
    ];
    keep_asking(cx, move |number| {
        for client in &mut clients {
            let request = format!("GET /?number={number} HTTP/1.1\r\nHost: here\r\n\r\n");
            client.write_all(request.as_bytes()).context("ask")?;
            let answer = read_answer(client)?;
            let (head, body) = answer.split_once("\r\n\r\n").context("an answer")?;
            expect(head.contains(&format!("Number: {number}")), || format!("no number {number} in {head}"))?;
            // It counts the requests of a connection, and closes it after a thousand.
            expect_eq("requests of this connection", body, (number % 1000 + 1).to_string())?;
            if number % 1000 == 999 {
                *client = connected(|| TcpStream::connect(("127.0.0.1", port)))?;
            }
        }
        Ok(())
    })?;
    server.end(libc::SIGTERM)
}

/// Head and body of an answer.
fn read_answer(from: &mut TcpStream) -> anyhow::Result<String> {
    use std::io::Read as _;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).context("read the head")?;
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).context("a head")?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).context("a length")?;
    let mut body = vec![0; length.trim().parse().context("a length")?];
    from.read_exact(&mut body).context("read the body")?;
    Ok(head + &String::from_utf8(body).context("a body")?)
}
