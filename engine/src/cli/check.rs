//! `cairn check`

use super::args::CheckArgs;
use super::{count, out, worker};
use cairn::checkpoint::{Checked, check};
use cairn::error::{Error, Problems};

pub fn run(args: CheckArgs) -> anyhow::Result<u8> {
    worker::run(
        std::time::Duration::from_secs(args.target.time),
        || cairn::checkpoint::clean_up(&(&args.target).into()),
        |cancelled| {
            let result = check(&(&args.target).into(), cancelled);
            let code = result.as_ref().map_or_else(Error::exit_code, |_| 0);
            let (checked, found) = match result {
                Ok(checked) => (Some(checked), Problems::default()),
                Err(Error::Unsupported(problems)) => (None, problems),
                Err(other) => return Err(other.into()),
            };
            let problems = found.lines();
            let pid = args.target.id;
            if args.json {
                let told = serde_json::json!({
                    "pid": pid,
                    "ok": checked.is_some(),
                    "tasks": checked.as_ref().map_or(0, |checked| checked.tasks),
                    "source": checked.as_ref().map(|checked| checked.source),
                    "notices": checked.map_or(Vec::new(), |checked| checked.notices),
                    "problems": problems,
                    "reasons": found.reasons,
                });
                out(&format!("{told}\n"))?;
            } else if let Some(Checked { source, tasks, notices }) = checked {
                let tasks = count(tasks, "task");
                let notices: String = notices.iter().map(|notice| format!("  note: {notice}\n")).collect();
                out(&format!("{pid}: can be checkpointed by {source}; {tasks}\n{notices}"))?;
            } else {
                let list: String = problems.iter().map(|problem| format!("  {problem}\n")).collect();
                out(&format!("{pid}: cannot be checkpointed:\n{list}"))?;
            }
            Ok(code)
        },
    )
}
