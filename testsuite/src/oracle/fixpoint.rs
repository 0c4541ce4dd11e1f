//! The fixpoint oracle: checkpoint, restart, checkpoint again; the records must be equal.
//!
//! It finds state that is saved but not restored, even where no workload checks it. The engine
//! declares what may differ, each part with a reason ([`Records`]).

use std::fmt;

use serde_json::Value;

/// A part of the records in which two checkpoints of the same state may differ.
pub struct Ignored {
    /// Path from the root, keys separated by dots; `*` is any one key or index, a leading `**` any
    /// depth.
    pub path: &'static str,
    /// How the values may differ.
    pub tolerance: Tolerance,
    /// The reason.
    pub reason: &'static str,
}

/// How two values may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// Without limits.
    Freely,
    /// Without limits, in workloads that are marked as active.
    WhenActive,
    /// In value, as long as both are zero or neither is; without limits in active workloads.
    BothOrNeither,
    /// In bytes from..to of a string of hexadecimal digits.
    InBytes(usize, usize),
    /// When one of them is absent.
    WhenAbsent,
    /// When one of them equals this number.
    WhenOneIs(u64),
}

/// One place where two records differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Path from the root, keys separated by dots.
    pub path: String,
    /// The value in the first record; absent if the key is.
    pub before: Option<Value>,
    /// The value in the second record; absent if the key is.
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

/// How an engine's records are compared.
pub struct Records {
    /// Parts in which two checkpoints of the same state may differ, each with its reason.
    pub ignored: &'static [Ignored],
    /// Path of the list of processes, the root first: in an active tree only the root is certain to
    /// be in both records. Other processes come and go.
    pub processes: &'static str,
    /// Normalizes equivalent forms of the same state before two records are compared.
    pub normalize: fn(&mut Value),
}

/// All differences that are not ignored, in document order.
pub fn compare(records: &Records, before: &Value, after: &Value, active: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    let [mut before, mut after] = [before, after].map(Value::clone);
    (records.normalize)(&mut before);
    (records.normalize)(&mut after);
    let walk = Walk { records, active };
    walk.walk(&mut Vec::new(), Some(&before), Some(&after), &mut found);
    found
}

struct Walk<'a> {
    records: &'a Records,
    active: bool,
}

/// The first few differences, in one line.
pub fn summary(differences: &[Difference]) -> String {
    let first: Vec<String> = differences.iter().take(3).map(ToString::to_string).collect();
    let rest = differences.len().saturating_sub(first.len());
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("records differ: {}{more}", first.join("; "))
}

impl Walk<'_> {
    fn walk(
        &self,
        path: &mut Vec<String>,
        before: Option<&Value>,
        after: Option<&Value>,
        found: &mut Vec<Difference>,
    ) {
        if before == after || self.is_ignored(path, before, after) {
            return;
        }
        match (before, after) {
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                for (key, value) in a {
                    path.push(key.clone());
                    self.walk(path, Some(value), b.get(key), found);
                    path.pop();
                }
                for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                    path.push(key.clone());
                    self.walk(path, None, Some(value), found);
                    path.pop();
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) => {
                let only_root = self.active && path.join(".") == self.records.processes;
                let compared = if only_root { 1 } else { a.len().max(b.len()) };
                for index in 0..compared {
                    path.push(index.to_string());
                    self.walk(path, a.get(index), b.get(index), found);
                    path.pop();
                }
            }
            _ => {
                let (before, after) = (before.cloned(), after.cloned());
                found.push(Difference { path: path.join("."), before, after });
            }
        }
    }

    fn is_ignored(&self, path: &[String], before: Option<&Value>, after: Option<&Value>) -> bool {
        let fitting = self.records.ignored.iter().filter(|entry| matches(entry.path, path));
        fitting.into_iter().any(|entry| match (entry.tolerance, before, after) {
            (Tolerance::Freely, _, _) => true,
            (Tolerance::WhenActive, _, _) => self.active,
            (Tolerance::WhenAbsent, before, after) => before.is_none() || after.is_none(),
            (Tolerance::BothOrNeither, Some(a), Some(b)) => {
                self.active || (a.as_u64() == Some(0)) == (b.as_u64() == Some(0))
            }
            (Tolerance::InBytes(from, to), Some(Value::String(a)), Some(Value::String(b))) => {
                let rest =
                    |text: &str| Some((text.get(..2 * from)?.to_owned(), text.get(2 * to..)?.to_owned()));
                rest(a).is_some() && rest(a) == rest(b)
            }
            (Tolerance::WhenOneIs(number), Some(a), Some(b)) => {
                a.as_u64() == Some(number) || b.as_u64() == Some(number)
            }
            (Tolerance::BothOrNeither | Tolerance::InBytes(..) | Tolerance::WhenOneIs(_), _, _) => false,
        })
    }
}

/// Whether a pattern of [`Ignored::path`] matches the whole path.
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

    const RECORDS: Records = Records {
        ignored: &[Ignored {
            path: "header",
            tolerance: Tolerance::Freely,
            reason: "says when the file was written",
        }],
        processes: "records.processes",
        normalize: |_| {},
    };

    fn compare(before: &Value, after: &Value, active: bool) -> Vec<Difference> {
        super::compare(&RECORDS, before, after, active)
    }

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
