//! `cairn check`

use super::args::CheckArgs;
use super::worker;
use cairn::checkpoint::{Checked, check};
use cairn::error::{Error, Problems};

pub fn run(args: CheckArgs) -> anyhow::Result<u8> {
    worker::run(|cancelled| {
        let result = check((&args.target).into(), cancelled);
        let code = result.as_ref().map_or_else(Error::exit_code, |_| 0);
        let (checked, problems) = match result {
            Ok(checked) => (Some(checked), Vec::new()),
            Err(Error::Unsupported(Problems { reasons, .. })) => (None, reasons),
            Err(other) => return Err(other.into()),
        };
        let pid = args.target.id;
        if args.json {
            println!(
                "{}",
                serde_json::json!({
                    "pid": pid,
                    "ok": checked.is_some(),
                    "tasks": checked.map_or(0, |checked| checked.tasks),
                    "source": checked.map(|checked| checked.source),
                    "problems": problems,
                })
            );
        } else if let Some(Checked { source, tasks }) = checked {
            println!("{pid}: nothing stands in the way of a checkpoint by {source}; {tasks} tasks");
        } else {
            println!("{pid}: cannot be checkpointed, because");
            problems.iter().for_each(|problem| println!("  {problem}"));
        }
        Ok(code)
    })
}
