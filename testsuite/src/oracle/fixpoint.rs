//! The fixpoint oracle: checkpoint, restart, checkpoint again: the records must be equal.
//!
//! Whatever is saved but not brought back shows up here, also where no workload thought of looking.
//! What may differ is in [`IGNORED`], each with its reason, and nowhere else.

use std::fmt;

use serde_json::Value;

/// A part of the records that two checkpoints of the same state need not agree on.
pub struct Ignored {
    /// Path from the root, dots between keys; `*` is any one key or index, a leading `**` any
    /// depth.
    pub path: &'static str,
    /// How far they may disagree.
    pub how: How,
    /// Why.
    pub reason: &'static str,
}

/// How far two values may disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In everything.
    Freely,
    /// In everything, in workloads in which things move while they wait.
    WhenMoving,
    /// In their value, as long as both are zero or neither is; freely when things move.
    BothOrNeither,
    /// In bytes from..to of a string of hexadecimal digits.
    InBytes(usize, usize),
    /// When one of them is not there.
    WhenAbsent,
    /// When one of them is this number.
    WhenOneIs(u64),
}

/// The number of restart_syscall(2) on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
const RESTART_SYSCALL: u64 = 219;

/// The whole list.
pub const IGNORED: &[Ignored] = &[
    Ignored { path: "header", how: How::Freely, reason: "says when and by what the file was written" },
    Ignored {
        path: "records.clocks.*",
        how: How::BothOrNeither,
        reason: "time goes on between two checkpoints",
    },
    Ignored {
        path: "**.interval_timers.*.value",
        how: How::BothOrNeither,
        reason: "the time that is left runs on between two checkpoints; the workloads judge how much of it",
    },
    Ignored {
        path: "**.posix_timers.*.setting.value",
        how: How::BothOrNeither,
        reason: "the time that is left runs on between two checkpoints; the workloads judge how much of it",
    },
    Ignored {
        path: "**.kind.timerfd.setting.value",
        how: How::BothOrNeither,
        reason: "the time that is left runs on between two checkpoints; the workloads judge how much of it",
    },
    Ignored {
        path: "**.memory.membarrier.global",
        how: How::WhenAbsent,
        reason: "only the kernel module, or Linux 6.3, tells whether a process takes part in global barriers",
    },
    Ignored {
        path: "**.threads.*.sleep",
        how: How::WhenAbsent,
        reason: "only the kernel module sees that an interrupted call has time left, and how much",
    },
    Ignored {
        path: "**.threads.*.sleep.left",
        how: How::BothOrNeither,
        reason: "the time that is left runs on between two checkpoints; the workloads judge how much of it",
    },
    Ignored {
        path: "**.threads.*.extended.*.data",
        how: How::InBytes(512, 520),
        reason: "XSTATE_BV: the processor may say of a component in its initial state that it is in use or not \
                 (Intel SDM volume 1, 13.6); the component's own bytes are compared",
    },
    Ignored {
        path: "**.threads.*.regs.rax",
        how: How::WhenOneIs(RESTART_SYSCALL),
        reason: "a call with a timeout that a checkpoint interrupted goes on as restart_syscall(2)",
    },
    Ignored { path: "pages", how: How::WhenMoving, reason: "how much memory is in use changes" },
    Ignored {
        path: "records.files",
        how: How::WhenMoving,
        reason: "offsets change, files are opened and closed",
    },
    Ignored { path: "records.inodes", how: How::WhenMoving, reason: "pipes fill and drain, files grow" },
    Ignored { path: "records.shared", how: How::WhenMoving, reason: "contents of shared memory change" },
    Ignored {
        path: "**.life.alive.memory",
        how: How::WhenMoving,
        reason: "contents and extent of memory change",
    },
    Ignored { path: "**.life.alive.threads", how: How::WhenMoving, reason: "threads run, come and go" },
    Ignored { path: "**.life.alive.pending", how: How::WhenMoving, reason: "signals are sent and taken" },
    Ignored { path: "**.life.alive.fds", how: How::WhenMoving, reason: "descriptors are opened and closed" },
    Ignored {
        path: "**.life.alive.state",
        how: How::WhenMoving,
        reason: "processes are stopped and continued",
    },
    Ignored {
        path: "**.life.alive.continued",
        how: How::WhenMoving,
        reason: "processes are stopped and continued",
    },
];

/// Of a tree in which things move, only the root is sure to be there twice: other processes come
/// and go.
const PROCESSES: &str = "records.processes";

/// One place where two records differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Path from the root, dots between keys.
    pub path: String,
    /// The value in the first, if it is there at all.
    pub before: Option<Value>,
    /// The value in the second, if it is there at all.
    pub after: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<Value>| match value {
            None => "absent".to_owned(),
            Some(value) => {
                let text = value.to_string();
                if text.chars().count() > 80 {
                    text.chars().take(77).collect::<String>() + "..."
                } else {
                    text
                }
            }
        };
        write!(f, "{}: {} → {}", self.path, show(&self.before), show(&self.after))
    }
}

/// Every difference that is not on the list, in document order.
pub fn compare(before: &Value, after: &Value, moving: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    let [mut before, mut after] = [before, after].map(Value::clone);
    go_on(&mut before);
    go_on(&mut after);
    walk(&mut Vec::new(), Some(&before), Some(&after), moving, &mut found);
    found
}

/// Registers that leave an interrupted call to the kernel, to be made again, become those of a
/// thread that is just about to make it: the next checkpoint may find the thread there.
fn go_on(record: &mut Value) {
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
            fields.values_mut().for_each(go_on);
        }
        Value::Array(items) => items.iter_mut().for_each(go_on),
        _ => {}
    }
}

/// The first few differences in one line.
pub fn summary(differences: &[Difference]) -> String {
    let first: Vec<String> = differences.iter().take(3).map(ToString::to_string).collect();
    let rest = differences.len().saturating_sub(first.len());
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("records differ: {}{more}", first.join("; "))
}

fn walk(
    path: &mut Vec<String>,
    before: Option<&Value>,
    after: Option<&Value>,
    moving: bool,
    found: &mut Vec<Difference>,
) {
    if before == after || is_ignored(path, before, after, moving) {
        return;
    }
    match (before, after) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for (key, value) in a {
                path.push(key.clone());
                walk(path, Some(value), b.get(key), moving, found);
                path.pop();
            }
            for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                path.push(key.clone());
                walk(path, None, Some(value), moving, found);
                path.pop();
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            let compared = if moving && path.join(".") == PROCESSES { 1 } else { a.len().max(b.len()) };
            for index in 0..compared {
                path.push(index.to_string());
                walk(path, a.get(index), b.get(index), moving, found);
                path.pop();
            }
        }
        _ => found.push(Difference { path: path.join("."), before: before.cloned(), after: after.cloned() }),
    }
}

fn is_ignored(path: &[String], before: Option<&Value>, after: Option<&Value>, moving: bool) -> bool {
    IGNORED.iter().filter(|entry| matches(entry.path, path)).any(|entry| match (entry.how, before, after) {
        (How::Freely, _, _) => true,
        (How::WhenMoving, _, _) => moving,
        (How::WhenAbsent, before, after) => before.is_none() || after.is_none(),
        (How::BothOrNeither, Some(a), Some(b)) => {
            moving || (a.as_u64() == Some(0)) == (b.as_u64() == Some(0))
        }
        (How::InBytes(from, to), Some(Value::String(a)), Some(Value::String(b))) => {
            let rest = |text: &str| Some((text.get(..2 * from)?.to_owned(), text.get(2 * to..)?.to_owned()));
            rest(a).is_some() && rest(a) == rest(b)
        }
        (How::WhenOneIs(number), Some(a), Some(b)) => {
            a.as_u64() == Some(number) || b.as_u64() == Some(number)
        }
        (How::BothOrNeither | How::InBytes(..) | How::WhenOneIs(_), _, _) => false,
    })
}

/// Whether a pattern of [`Ignored::path`] fits the whole path.
fn matches(pattern: &str, path: &[String]) -> bool {
    let mut parts: Vec<&str> = pattern.split('.').collect();
    let mut path = path;
    if parts.first() == Some(&"**") {
        parts.remove(0);
        if path.len() < parts.len() {
            return false;
        }
        path = &path[path.len() - parts.len()..];
    }
    parts.len() == path.len() && parts.iter().zip(path).all(|(part, key)| *part == "*" || part == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    #[test]
    fn differences_are_found_wherever_they_are() {
        let a = json!({"header": {"when": 1}, "records": {"tasks": [{"pid": 1, "comm": "a"}, {"pid": 2}], "x": null}});
        let b = json!({"header": {"when": 2}, "records": {"tasks": [{"pid": 1, "comm": "b"}], "y": 7}});
        let found: Vec<String> = compare(&a, &b, false).iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(found.join("\n"), @r#"
        records.tasks.0.comm: "a" → "b"
        records.tasks.1: {"pid":2} → absent
        records.x: null → absent
        records.y: absent → 7
        "#);
        insta::assert_snapshot!(summary(&compare(&a, &b, false)), @r#"records differ: records.tasks.0.comm: "a" → "b"; records.tasks.1: {"pid":2} → absent; records.x: null → absent and 1 more"#);
    }

    #[rstest]
    #[case("header", &["header"], true)]
    #[case("header", &["records", "header"], false)]
    #[case("a.*.c", &["a", "7", "c"], true)]
    #[case("a.*.c", &["a", "7", "8", "c"], false)]
    #[case("**.b.c", &["x", "y", "b", "c"], true)]
    #[case("**.b.c", &["c"], false)]
    fn patterns(#[case] pattern: &str, #[case] path: &[&str], #[case] fits: bool) {
        let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
        assert_eq!(matches(pattern, &path), fits);
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

    #[test]
    fn every_ignored_part_says_why() {
        for entry in IGNORED {
            assert!(entry.reason.len() > 10, "{}", entry.path);
        }
    }

    proptest! {
        #[test]
        fn equal_records_never_differ_and_any_changed_number_does(
            numbers in prop::collection::vec(any::<u32>(), 1..20), at in any::<prop::sample::Index>(),
        ) {
            let a = json!({"records": {"list": numbers}});
            prop_assert!(compare(&a, &a, false).is_empty());
            let mut changed = numbers.clone();
            let at = at.index(changed.len());
            changed[at] = changed[at].wrapping_add(1);
            let b = json!({"records": {"list": changed}});
            prop_assert_eq!(compare(&a, &b, false).len(), 1);
        }
    }
}
