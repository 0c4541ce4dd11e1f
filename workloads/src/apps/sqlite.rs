//! sqlite3 writes one transaction after the other into a database with a write-ahead log.

use super::helpers::{Talk, command, keep_asking, sum};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a database in WAL mode with a writer and a reader that watches it",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let open = || -> anyhow::Result<Talk> {
        let mut sqlite = command("sqlite3")?;
        sqlite.args(["-batch", "sum.db"]);
        Talk::with(sqlite)
    };
    let mut writer = open()?;
    writer.say("pragma journal_mode = wal;")?;
    expect_eq("journal", writer.hear()?, "wal".to_owned())?;
    writer.say("create table numbers (n integer);")?;
    writer.say("select 'there';")?;
    expect_eq("answer", writer.hear()?, "there".to_owned())?;
    let mut reader = open()?;
    keep_asking(cx, move |number| {
        writer.say(&format!(
            "begin; insert into numbers values ({number}); commit; select sum(n) from numbers;"
        ))?;
        expect_eq("sum", writer.hear()?, sum(number))?;
        reader.say("select count(*) from numbers;")?;
        expect_eq("rows that a reader sees", reader.hear()?, (number + 1).to_string())
    })
}
