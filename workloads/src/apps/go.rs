//! Go: goroutines that talk by channels and through a TCP connection.

use super::helpers::{command, converse, sum};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a program in Go with its threads, timers and an epoll",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    std::fs::write("sum.go", TEXT).context("write the program")?;
    let mut go = command("go")?;
    let home = cx.dir.join("cache");
    let built = go.args(["build", "-o", "sum", "sum.go"]).env("GOCACHE", &home).env("GOPATH", &home).status();
    expect(built.context("go build")?.success(), || "the program cannot be built".into())?;
    converse(cx, std::process::Command::new("./sum"), sum)
}

const TEXT: &str = r#"
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		conn, _ := listener.Accept()
		total, number := 0, 0
		for {
			if _, err := fmt.Fscan(conn, &number); err != nil {
				return
			}
			total += number
			fmt.Fprintln(conn, total)
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	for i := 0; i < 8; i++ {
		go func() {
			for range time.Tick(time.Millisecond) {
			}
		}()
	}
	answers := bufio.NewScanner(conn)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Fprintln(conn, lines.Text())
		answers.Scan()
		fmt.Println(answers.Text())
	}
}
"#;
