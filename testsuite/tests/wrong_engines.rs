//! Faulty engines, in `wrong-engines/`: each must be detected, for the reason that its script
//! states.
//!
//! The header comment of a script describes the fault, followed by the expected result:
//!
//! | line | meaning |
//! | --- | --- |
//! | `# verdict: V` | of its cell; `refused`: no cell runs; `left`: passes, leftovers reported |
//! | `# stage: S` | stage in which the cell fails |
//! | `# says: TEXT` | text contained in the reason |
//! | `# mode: M` | mode of the cell, by default `continue` |
//! | `# engine: E` | name of the adapter, by default `cairn` |
//! | `# room: SIZE` | size of the cell's file system |

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use cairn_testsuite::cell::Mode;
use cairn_testsuite::engine::{ERRORS_LIMIT, RECORDS_LIMIT, REPORT_LIMIT, RESTART_LIMIT};
use cairn_testsuite::event::{Event, Job};
use support::{LONG, engine, events, job, runner};

const RUNNER: &str = env!("CARGO_BIN_EXE_cairn-runner");
/// How many engines are tested concurrently; most of them only wait.
const AT_ONCE: usize = 4;
/// Time limit, in milliseconds, of a cell that is expected to time out.
const SHORT: u64 = 3000;

/// Header of a script.
struct Head {
    verdict: String,
    fields: BTreeMap<String, String>,
}

impl Head {
    fn read(text: &str) -> Result<Head, String> {
        let comments = text.lines().skip(1).map_while(|line| line.strip_prefix("# "));
        let (mut fields, mut what) = (BTreeMap::new(), "");
        for line in comments {
            match line.split_once(": ") {
                Some((key @ ("verdict" | "stage" | "says" | "mode" | "engine" | "room"), value)) => {
                    fields.insert(key.to_owned(), value.to_owned());
                }
                _ if what.is_empty() && fields.is_empty() => what = line,
                _ => return Err(format!("its head has a line {line:?}")),
            }
        }
        let verdict = fields.remove("verdict").ok_or("its head names no verdict")?;
        let head = Head { verdict, fields };
        let is_red_cell = !matches!(head.verdict.as_str(), "pass" | "refused" | "left" | "missing");
        match () {
            () if what.is_empty() => Err("its head does not say what is wrong with it".to_owned()),
            () if head.verdict != "pass" && head.get("says").is_empty() => {
                Err("its head has no line `says`".to_owned())
            }
            () if is_red_cell && head.get("stage").is_empty() => {
                Err("its head has no line `stage`".to_owned())
            }
            () => Ok(head),
        }
    }

    fn get(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    fn job(&self, dir: &Path, name: &str) -> Result<Job, String> {
        let mode: Mode = match self.get("mode") {
            "" => Mode::Continue,
            name => name.parse().map_err(|_| format!("there is no mode {name:?}"))?,
        };
        let timeout_ms = if self.verdict == "timeout" { SHORT } else { LONG };
        let mut job = job(dir, name, &["pass"], mode, timeout_ms);
        // The output files are inspected.
        job.keep = true;
        if let Some(adapter) = self.fields.get("engine") {
            job.engines = BTreeMap::from([(adapter.clone(), engine(name))]);
            job.cells[0].engine.clone_from(adapter);
        }
        if self.verdict == "refused" {
            job.time_scale = 0.2;
        }
        job.engine_env.insert("OUTSIDE".to_owned(), dir.join("outside").display().to_string());
        Ok(job)
    }
}

/// Tests one engine, in a mount namespace of its own.
fn judge(name: &str) -> Result<(), String> {
    let head = Head::read(&fs::read_to_string(engine(name)).unwrap())?;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::create_dir_all(dir.join("outside/room")).unwrap();
    fs::create_dir(dir.join("work")).unwrap();
    let mount = match head.get("room") {
        "" => String::new(),
        size => format!("mount -t tmpfs -o size={size} none {}/work && ", dir.display()),
    };
    let inside = format!("{mount}exec \"$0\" \"$@\"");
    let words =
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", &inside, RUNNER].map(OsStr::new);
    let mut command = runner(&words, dir, &head.job(dir, name)?);
    command.arg("--unchanged").arg(dir.join("outside"));
    let seen = Seen::of(events(command));
    match (seen.matches(&head), too_large(&dir.join("work/0"))) {
        (true, None) => Ok(()),
        (_, too_large) => Err(format!("{seen:?} {too_large:?}")),
    }
}

/// A file with more output of an engine than the limit allows.
fn too_large(cell: &Path) -> Option<String> {
    let names = fs::read_dir(cell).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).find(|name| {
        let most = match name.rsplit_once('.') {
            Some(("info.1" | "info.2", "stdout")) => RECORDS_LIMIT,
            Some(("restart.1", "stdout")) => RESTART_LIMIT,
            Some((_, "stdout" | "stderr")) => REPORT_LIMIT.max(ERRORS_LIMIT),
            _ => u64::MAX,
        };
        cell.join(name).metadata().unwrap().len() > most
    })
}

/// Observed result of an engine.
#[derive(Debug, Default)]
struct Seen {
    verdict: String,
    stage: String,
    reason: String,
}

impl Seen {
    fn of(events: Vec<Event>) -> Seen {
        let mut seen = Seen::default();
        assert!(matches!(events.first(), Some(Event::Hello { .. })), "{events:?}");
        assert_eq!(events.last(), Some(&Event::Done));
        for event in events {
            match event {
                Event::Refused { engine, reason } => {
                    (seen.verdict, seen.reason) = ("refused".into(), format!("{engine}: {reason}"));
                }
                Event::End { outcome, .. } => {
                    seen.verdict = outcome.verdict.to_string();
                    seen.stage = outcome.stage.map(|stage| stage.to_string()).unwrap_or_default();
                    seen.reason = outcome.reason;
                }
                Event::Left { changes } if seen.verdict == "pass" => {
                    (seen.verdict, seen.reason) = ("left".into(), changes.join(", "));
                }
                Event::Hello { engines, .. } => assert!(engines.values().all(|v| v == "cairn 0 (scripted)")),
                Event::Left { .. } | Event::Start { .. } | Event::Artifact { .. } | Event::Done => {}
            }
        }
        seen
    }

    fn matches(&self, head: &Head) -> bool {
        self.verdict == head.verdict
            && self.stage == head.get("stage")
            && self.reason.contains(head.get("says"))
    }
}

/// Every file of the directory, whatever its name.
fn all() -> Vec<String> {
    let names = fs::read_dir(engine("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn each_is_told_from_a_good_one() {
    let left = Mutex::new(all());
    assert!(left.lock().unwrap().contains(&"good".to_owned()));
    let wrong = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(name) = { left.lock().unwrap().pop() } {
                    if let Err(why) = judge(&name) {
                        wrong.lock().unwrap().insert(name, why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_script_that_does_not_say_what_has_to_come_of_it_is_an_error() {
    let error = |text: &str| Head::read(text).err().unwrap_or_default();
    assert_eq!(error("#!/bin/sh\n# It fails.\n# verdict: pass\nexit 1\n"), "");
    assert_eq!(error("#!/bin/sh\nexit 1\n"), "its head names no verdict");
    assert_eq!(error("#!/bin/sh\n# verdict: pass\n"), "its head does not say what is wrong with it");
    assert_eq!(
        error("#!/bin/sh\n# It fails.\n# verdict: fail\n# stage: leak\n"),
        "its head has no line `says`"
    );
    assert_eq!(
        error("#!/bin/sh\n# It fails.\n# verdict: fail\n# says: no\n"),
        "its head has no line `stage`"
    );
    assert_eq!(error("#!/bin/sh\n# It fails.\n# verdcit: fail\n"), "its head has a line \"verdcit: fail\"");
}

/// The refusal is reported once, not derived from the cells.
#[cfg(feature = "host")]
#[test]
fn an_engine_that_is_none_is_one_error_of_the_whole_run() {
    use cairn_testsuite::driver::place::Heard;
    use cairn_testsuite::driver::{HostPlace, Place, StopFlag};

    let dir = tempfile::tempdir().unwrap();
    let job = job(dir.path(), "version-fails", &["pass", "pass"], Mode::Continue, LONG);
    let mut place = HostPlace { runner: RUNNER.into(), dir: dir.path().join("run") };
    let mut cells = 0;
    let mut hear = |heard| cells += usize::from(matches!(heard, Heard::Event(Event::Start { .. })));
    let error = place.run(&job, &StopFlag::default(), &mut hear).unwrap_err();
    let program = engine("version-fails");
    let wanted = format!("engine cairn: {} --version: exit status 3: no module", program.display());
    assert_eq!((error.to_string(), cells), (wanted, 0));
    assert!(!job.workdir.exists());
}
