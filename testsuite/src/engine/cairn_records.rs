//! How the fixpoint oracle compares cairn's records: parts in which two checkpoints may differ, and
//! equivalent forms of the same registers.

use serde_json::Value;

use crate::oracle::fixpoint::{Ignored, Records, Tolerance};

/// The rules for cairn's records.
pub(super) const RECORDS: Records = Records { ignored: IGNORED, processes: "records.processes", normalize };

/// The number of restart_syscall(2) on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
const RESTART_SYSCALL: u64 = 219;

/// The parts in which two checkpoints may differ.
const IGNORED: &[Ignored] = &[
    Ignored {
        path: "header",
        tolerance: Tolerance::Freely,
        reason: "records when and by which version the file was written",
    },
    Ignored {
        path: "records.clocks.*",
        tolerance: Tolerance::BothOrNeither,
        reason: "time passes between two checkpoints",
    },
    Ignored {
        path: "**.interval_timers.*.value",
        tolerance: Tolerance::BothOrNeither,
        reason: "the remaining time decreases between two checkpoints; the workloads check by how much",
    },
    Ignored {
        path: "**.posix_timers.*.setting.value",
        tolerance: Tolerance::BothOrNeither,
        reason: "the remaining time decreases between two checkpoints; the workloads check by how much",
    },
    Ignored {
        path: "**.kind.timerfd.setting.value",
        tolerance: Tolerance::BothOrNeither,
        reason: "the remaining time decreases between two checkpoints; the workloads check by how much",
    },
    Ignored {
        path: "**.kind.tcp.link.outside.lock",
        tolerance: Tolerance::Freely,
        reason: "every checkpoint that kills has a lock of its own, and others have none",
    },
    Ignored {
        path: "**.kind.tcp.link.outside.clock",
        tolerance: Tolerance::BothOrNeither,
        reason: "the clock of timestamps advances between two checkpoints",
    },
    Ignored {
        path: "**.kind.tcp.link.outside.windows.*",
        tolerance: Tolerance::BothOrNeither,
        reason: "a packet of the other end has the kernel choose the window that it offers anew",
    },
    Ignored {
        path: "**.memory.membarrier.global",
        tolerance: Tolerance::WhenAbsent,
        reason: "only the kernel module, or Linux 6.3, shows whether a process is registered for global barriers",
    },
    Ignored {
        path: "**.threads.*.sleep",
        tolerance: Tolerance::WhenAbsent,
        reason: "only the kernel module sees the remaining time of an interrupted call",
    },
    Ignored {
        path: "**.threads.*.sleep.left",
        tolerance: Tolerance::BothOrNeither,
        reason: "the remaining time decreases between two checkpoints; the workloads check by how much",
    },
    Ignored {
        path: "**.threads.*.extended.*.data",
        tolerance: Tolerance::InBytes(512, 520),
        reason: "XSTATE_BV: the processor may report a component in its initial state as in use or not (Intel SDM volume 1, 13.6); the component's own bytes are compared",
    },
    Ignored {
        path: "**.threads.*.regs.rax",
        tolerance: Tolerance::WhenOneIs(RESTART_SYSCALL),
        reason: "a call with a timeout that a checkpoint interrupted continues as restart_syscall(2)",
    },
    Ignored { path: "pages", tolerance: Tolerance::WhenActive, reason: "how much memory is in use changes" },
    Ignored {
        path: "records.files",
        tolerance: Tolerance::WhenActive,
        reason: "offsets change, files are opened and closed",
    },
    Ignored {
        path: "records.inodes",
        tolerance: Tolerance::WhenActive,
        reason: "pipes fill and drain, files grow",
    },
    Ignored {
        path: "records.shared",
        tolerance: Tolerance::WhenActive,
        reason: "contents of shared memory change",
    },
    Ignored {
        path: "records.shared.*.segment.creator",
        tolerance: Tolerance::BothOrNeither,
        reason: "System V shared memory that a restart creates shows the engine as its creator",
    },
    Ignored {
        path: "**.life.alive.memory",
        tolerance: Tolerance::WhenActive,
        reason: "contents and extent of memory change",
    },
    Ignored {
        path: "**.life.alive.threads",
        tolerance: Tolerance::WhenActive,
        reason: "threads run, start and exit",
    },
    Ignored {
        path: "**.life.alive.pending",
        tolerance: Tolerance::WhenActive,
        reason: "signals are sent and received",
    },
    Ignored {
        path: "**.life.alive.fds",
        tolerance: Tolerance::WhenActive,
        reason: "descriptors are opened and closed",
    },
    Ignored {
        path: "**.life.alive.state",
        tolerance: Tolerance::WhenActive,
        reason: "processes are stopped and continued",
    },
    Ignored {
        path: "**.life.alive.continued",
        tolerance: Tolerance::WhenActive,
        reason: "processes are stopped and continued",
    },
];

fn normalize(record: &mut Value) {
    name_directories(record);
    resume(record);
}

/// Replaces the indices of directories and program of each process by paths: what else a process
/// has open changes the numbers, and may change at any time.
fn name_directories(record: &mut Value) {
    let (files, inodes) = (record["records"]["files"].take(), record["records"]["inodes"].take());
    let path = |index: &Value| {
        let inode = files.get(index.as_u64()? as usize)?.get("inode")?.as_u64()?;
        inodes.get(inode as usize)?.get("path").cloned()
    };
    let processes = record["records"]["processes"].as_array_mut();
    for process in processes.into_iter().flatten() {
        let Some(Value::Object(alive)) = process.pointer_mut("/life/alive") else { continue };
        for part in ["cwd", "root", "exe"] {
            if let Some(index) = alive.get_mut(part)
                && let Some(path) = path(index)
            {
                *index = path;
            }
        }
    }
    (record["records"]["files"], record["records"]["inodes"]) = (files, inodes);
}

/// Rewrites registers from which the kernel would restart an interrupted system call into those of
/// a thread about to make the call: the next checkpoint may find the thread there.
fn resume(record: &mut Value) {
    match record {
        Value::Object(fields) => {
            if let Some(Value::Object(regs)) = fields.get_mut("regs") {
                let read = |name: &str| regs.get(name).and_then(Value::as_u64);
                let changes: Vec<(&str, Value)> =
                    match (read("orig_rax"), read("rip"), read("trap"), read("nip")) {
                        (Some(nr), Some(ip), ..) if nr != u64::MAX => {
                            vec![
                                ("rax", nr.into()),
                                ("rip", ip.wrapping_sub(2).into()),
                                ("orig_rax", u64::MAX.into()),
                            ]
                        }
                        (.., Some(trap), Some(ip)) if trap != 0 => {
                            let mut gpr = regs["gpr"].clone();
                            gpr[3] = regs["orig_gpr3"].clone();
                            let zero = Value::from(0);
                            vec![
                                ("gpr", gpr),
                                ("nip", ip.wrapping_sub(4).into()),
                                ("orig_gpr3", zero.clone()),
                                ("trap", zero),
                            ]
                        }
                        _ => Vec::new(),
                    };
                regs.extend(changes.into_iter().map(|(name, value)| (name.to_owned(), value)));
            }
            fields.values_mut().for_each(resume);
        }
        Value::Array(items) => items.iter_mut().for_each(resume),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::fixpoint::Difference;
    use rstest::rstest;
    use serde_json::json;

    fn compare(before: &Value, after: &Value, active: bool) -> Vec<Difference> {
        crate::oracle::fixpoint::compare(&RECORDS, before, after, active)
    }

    #[rstest]
    #[case(json!({"interval_timers": {"real": {"value": 5}}}), json!({"interval_timers": {"real": {"value": 3}}}), true)]
    #[case(json!({"interval_timers": {"real": {"value": 5}}}), json!({"interval_timers": {"real": {"value": 0}}}), false)]
    #[case(json!({"threads": [{"regs": {"rax": 7}}]}), json!({"threads": [{"regs": {"rax": 219}}]}), true)]
    #[case(json!({"threads": [{"regs": {"rax": 7}}]}), json!({"threads": [{"regs": {"rax": 8}}]}), false)]
    #[case(json!({"threads": [{"regs": {"rbx": 7}}]}), json!({"threads": [{"regs": {"rbx": 219}}]}), false)]
    fn partly_ignored(#[case] before: Value, #[case] after: Value, #[case] equal: bool) {
        assert_eq!(compare(&before, &after, false).is_empty(), equal);
    }

    #[rstest]
    #[case(json!({"rax": -514i64 as u64, "rip": 66, "orig_rax": 34}), json!({"rax": 34, "rip": 64, "orig_rax": u64::MAX}))]
    #[case(
        json!({"gpr": [29, 0, 0, 514], "nip": 68, "orig_gpr3": 7, "trap": 0xc00}),
        json!({"gpr": [29, 0, 0, 7], "nip": 64, "orig_gpr3": 0, "trap": 0})
    )]
    fn a_call_that_was_interrupted_is_one_that_will_be_made(#[case] inside: Value, #[case] ahead: Value) {
        let record = |regs: &Value| json!({"threads": [{"regs": regs}]});
        assert!(compare(&record(&inside), &record(&ahead), false).is_empty());
        let mut elsewhere = ahead.clone();
        elsewhere[if ahead.get("rip").is_some() { "rip" } else { "nip" }] = 60.into();
        assert_eq!(compare(&record(&inside), &record(&elsewhere), false).len(), 1);
    }

    #[rstest]
    #[case(511, false)]
    #[case(512, true)]
    #[case(519, true)]
    #[case(520, false)]
    fn only_the_header_of_vector_state_may_differ(#[case] byte: usize, #[case] equal: bool) {
        let state = |change: Option<usize>| {
            let mut text = "00".repeat(600);
            if let Some(at) = change {
                text.replace_range(2 * at..2 * at + 2, "a2");
            }
            json!({"threads": [{"extended": [{"data": text}]}]})
        };
        assert_eq!(compare(&state(None), &state(Some(byte)), false).is_empty(), equal);
    }

    #[test]
    fn of_a_moving_tree_only_the_root_is_compared() {
        let tree = |umask: u32, child: u32| json!({"records": {"processes": [{"umask": umask, "life": {"alive": {"memory": child}}}, {"pid": child}]}});
        assert!(compare(&tree(1, 2), &tree(1, 3), true).is_empty());
        assert_eq!(compare(&tree(1, 2), &tree(1, 3), false).len(), 2);
        assert_eq!(compare(&tree(1, 2), &tree(2, 2), true).len(), 1);
    }

    #[rstest]
    #[case(json!(["/srv", "/bin/sh"]), 0, true)]
    #[case(json!(["/data", "/srv", "/bin/sh"]), 1, true)]
    #[case(json!(["/data", "/srv"]), 0, false)]
    fn directories_are_compared_by_their_paths(
        #[case] paths: Value,
        #[case] cwd: usize,
        #[case] equal: bool,
    ) {
        let record = |paths: &Value, cwd: usize| {
            let paths = paths.as_array().expect("a list");
            let files: Vec<_> = (0..paths.len()).map(|inode| json!({"inode": inode})).collect();
            let inodes: Vec<_> = paths.iter().map(|path| json!({"path": path})).collect();
            let processes = json!([{"life": {"alive": {"cwd": cwd}}}]);
            json!({"records": {"files": files, "inodes": inodes, "processes": processes}})
        };
        let before = record(&json!(["/srv", "/bin/sh"]), 0);
        assert_eq!(compare(&before, &record(&paths, cwd), true).is_empty(), equal);
    }

    #[test]
    fn every_ignored_part_says_why() {
        for entry in IGNORED {
            assert!(entry.reason.len() > 10, "{}", entry.path);
        }
    }
}
