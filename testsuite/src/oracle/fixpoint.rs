//! The fixpoint oracle: checkpoint, restart, checkpoint again: the records must be equal.
//!
//! Whatever is saved but not brought back shows up here, also where no workload thought of looking. What may differ is
//! in [`IGNORED`], each with its reason, and nowhere else.

use std::fmt;

use serde_json::Value;

/// A part of the records that two checkpoints of the same state need not agree on.
pub struct Ignored {
    /// Path from the root, dots between keys; `*` is any one key or index, a leading `**` any depth.
    pub path: &'static str,
    /// Only for workloads in which things move while they wait.
    pub moving_only: bool,
    /// Why.
    pub reason: &'static str,
}

/// The whole list.
pub const IGNORED: &[Ignored] =
    &[Ignored { path: "header", moving_only: false, reason: "says when and by what the file was written" }];

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
    walk(&mut Vec::new(), Some(before), Some(after), moving, &mut found);
    found
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
    if before == after || is_ignored(path, moving) {
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
            for index in 0..a.len().max(b.len()) {
                path.push(index.to_string());
                walk(path, a.get(index), b.get(index), moving, found);
                path.pop();
            }
        }
        _ => found.push(Difference { path: path.join("."), before: before.cloned(), after: after.cloned() }),
    }
}

fn is_ignored(path: &[String], moving: bool) -> bool {
    IGNORED.iter().any(|entry| (moving || !entry.moving_only) && matches(entry.path, path))
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
