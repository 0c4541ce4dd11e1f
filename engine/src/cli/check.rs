//! `cairn check`

use super::args::CheckArgs;
use super::worker;
use cairn::checkpoint::check;
use cairn::error::Error;

pub fn run(args: CheckArgs) -> anyhow::Result<u8> {
    worker::run(|cancelled| {
        let (code, tasks, problems) = match check(args.scope.of(args.id), cancelled) {
            Ok(tasks) => (0, tasks, Vec::new()),
            Err(err @ Error::Unsupported(_)) => {
                let code = err.exit_code();
                let Error::Unsupported(problems) = err else { unreachable!("matched above") };
                (code, 0, problems.reasons)
            }
            Err(other) => return Err(other.into()),
        };
        if args.json {
            println!(
                "{}",
                serde_json::json!({ "pid": args.id, "ok": code == 0, "tasks": tasks, "problems": problems })
            );
        } else if code == 0 {
            println!("{}: nothing stands in the way of a checkpoint; {tasks} tasks", args.id);
        } else {
            println!("{}: cannot be checkpointed, because", args.id);
            problems.iter().for_each(|problem| println!("  {problem}"));
        }
        Ok(code)
    })
}
