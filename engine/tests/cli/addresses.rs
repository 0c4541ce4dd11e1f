//! Restarts under other addresses, between two network namespaces.

use super::refused_descriptors::job_that;
use super::*;

/// Two network namespaces that are connected, with an address each; removed at the end.
struct Machines([String; 2]);

const ADDRESSES: [&str; 2] = ["10.111.7.1", "10.111.7.2"];
const ADDRESSES_6: [&str; 2] = ["fd00:111::1", "fd00:111::2"];

impl Machines {
    /// Nothing where there is no ip(8), or it may not make them.
    fn new() -> Option<Machines> {
        let names = ["a", "b"].map(|end| format!("cairn-test-{}-{end}", std::process::id()));
        let machines = Machines(names);
        let [a, b] = &machines.0;
        let mut lines = vec![
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("link add veth0 netns {a} type veth peer name veth0 netns {b}"),
        ];
        for ((name, ip), ip6) in machines.0.iter().zip(ADDRESSES).zip(ADDRESSES_6) {
            lines.push(format!("-n {name} addr add {ip}/24 dev veth0"));
            lines.push(format!("-n {name} addr add {ip6}/64 dev veth0 nodad"));
            lines.push(format!("-n {name} link set lo up"));
            lines.push(format!("-n {name} link set veth0 up"));
        }
        for line in lines {
            let made = cmd("ip", line.split(' ')).stderr_capture().unchecked().run();
            match made {
                Ok(output) if output.status.success() => {}
                Ok(output) => {
                    eprintln!("ip {line}: {}", complaint(&output));
                    return None;
                }
                Err(err) => {
                    eprintln!("ip {line}: {err}");
                    return None;
                }
            }
        }
        Some(machines)
    }

    /// Runs a program on one of them.
    fn on(&self, which: usize, words: &[&str]) -> Output {
        let net = format!("--net=/run/netns/{}", self.0[which]);
        let words = std::iter::once(net.as_str()).chain(words.iter().copied());
        let run = cmd("nsenter", words).stdin_null().stdout_capture().stderr_capture().unchecked().run();
        run.expect("nsenter starts")
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.0 {
            // It may not have been made.
            let _ = cmd("ip", ["netns", "del", name]).stderr_null().unchecked().run();
        }
    }
}

/// A job that listens, has a connection and datagrams to itself, and answers clients.
#[test]
fn sockets_go_on_under_other_addresses() {
    let Some(machines) = Machines::new() else { return };
    for [old, new] in [ADDRESSES, ADDRESSES_6] {
        let family = if old.contains(':') { "AF_INET6" } else { "AF_INET" };
        let net = &machines.0[0];
        let text = format!(
            "f = os.open('/run/netns/{net}', os.O_RDONLY); checked(libc.setns(f, 0x40000000)); os.close(f)
F, own = socket.{family}, {old:?}
l = socket.socket(F); l.bind((own, 7001)); l.listen(5)
c = socket.create_connection((own, 7001), source_address=(own, 7002)); p = l.accept()[0]
c.sendall(b'on its way')
u = socket.socket(F, socket.SOCK_DGRAM); u.bind((own, 7003))
v = socket.socket(F, socket.SOCK_DGRAM); v.connect((own, 7003)); v.send(b'first')
def serve():
    while True:
        s = l.accept()[0]
        inside = p.recv(100); p.sendall(inside); back = c.recv(100)
        v.send(b'second'); one, sender = u.recvfrom(100); two = u.recvfrom(100)[0]; u.sendto(b'echo', sender)
        same = (p.getpeername() == c.getsockname(), v.recv(100))
        s.sendall(repr((back, one, two, same, p.getsockname()[0], u.getsockname()[0])).encode()); s.close()
threading.Thread(target=serve).start()"
        );
        let Some(job) = job_that(&text) else { return };
        let file = job.path("context").display().to_string();
        let saved = machines.on(0, &[CAIRN, "checkpoint", &job.pid(), "-o", &file, "--kill"]);
        assert_eq!(exit_code(&saved), 0, "{}", complaint(&saved));
        let conflict = |more: &str, word: &str| {
            let words = [CAIRN, "restart", &file, "--detach"];
            let words: Vec<&str> = words.into_iter().chain((!more.is_empty()).then_some(more)).collect();
            let output = machines.on(1, &words);
            assert_eq!(exit_code(&output), 7, "{}", complaint(&output));
            assert!(complaint(&output).contains(word), "{}", complaint(&output));
        };
        conflict("", "no such address on this machine");
        conflict("--map-ip=192.0.2.1=192.0.2.2", "no socket of the job has this address");
        let map = format!("--map-ip={old}={new}");
        let restarted = machines.on(1, &[CAIRN, "restart", &file, "--detach", &map]);
        assert_eq!(exit_code(&restarted), 0, "{}", complaint(&restarted));
        let client = format!(
            "import socket; s = socket.create_connection(({new:?}, 7001), 15)\nwhile True:\n    got = s.recv(1000)\n    if not got: break\n    print(got.decode(), end='')"
        );
        let answer = machines.on(0, &["python3", "-c", &client]);
        let said = String::from_utf8_lossy(&answer.stdout).into_owned() + &complaint(&answer);
        let want = format!("(b'on its way', b'first', b'second', (True, b'echo'), {new:?}, {new:?})");
        assert_eq!(said, want.replace('"', "'"));
    }
}
