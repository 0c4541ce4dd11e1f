//! PostgreSQL, a session in a transaction, and another one that waits for its lock.

use super::helpers::{Server, Talk, command, free_port, keep_asking, sum};
use crate::framework::prelude::*;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Command, Stdio};

pub const WORKLOAD: Workload = Workload {
    purpose: "a database server with a session in a transaction and one that waits for it",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

/// It does not run as root.
const NOBODY: u32 = 65534;

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: geteuid has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    let as_user = |program: &str| -> anyhow::Result<Command> {
        let program = command(program)?;
        if !is_root {
            return Ok(program);
        }
        let mut other = command("setpriv")?;
        let ids = ["--reuid", "--regid"].map(|which| format!("{which}={NOBODY}"));
        other.args(ids).args(["--clear-groups", "--"]).arg(program.get_program());
        Ok(other)
    };
    std::fs::create_dir("data").context("mkdir")?;
    if is_root {
        chown("data", Some(NOBODY), Some(NOBODY)).context("chown")?;
        std::fs::set_permissions(".", std::fs::Permissions::from_mode(0o755)).context("chmod")?;
    }
    let mut initdb = as_user("initdb")?;
    let made = initdb.args(["-D", "data", "-A", "trust", "-U", "user", "-N"]).stdout(Stdio::null()).status();
    expect(made.context("initdb")?.success(), || "no database".into())?;
    let port = free_port()?.to_string();
    let mut postgres = as_user("postgres")?;
    postgres.args(["-D", "data", "-p", &port, "-h", "127.0.0.1", "-k", ""]).stderr(Stdio::null());
    let server = Server::start(&mut postgres)?;
    let uri = format!("postgresql://user@127.0.0.1:{port}/postgres");
    let psql = |question: &str| -> anyhow::Result<Command> {
        let mut psql = command("psql")?;
        psql.args(["-X", "-A", "-t", "-q", &uri]);
        if !question.is_empty() {
            psql.args(["-c", question]);
        }
        Ok(psql)
    };
    sync::wait_until("the server to listen", || {
        let asked = psql("create table numbers (n bigint)")?.stderr(Stdio::null()).status();
        Ok(asked.context("psql")?.success())
    })?;
    let mut session = Talk::with(psql("")?)?;
    session.say("begin; lock table numbers; select 'locked';")?;
    expect_eq("answer", session.hear()?, "locked".to_owned())?;
    let mut waiting = Talk::with(psql("")?)?;
    waiting.say("select count(*) from numbers;")?;
    keep_asking(cx, move |number| {
        session.say(&format!("insert into numbers values ({number}); select sum(n) from numbers;"))?;
        expect_eq("sum", session.hear()?, sum(number))
    })?;
    // The session has ended with its program, and its transaction with it.
    expect_eq("rows that another session finds", waiting.hear()?, "0".to_owned())?;
    waiting.end()?;
    server.end(libc::SIGINT)
}
