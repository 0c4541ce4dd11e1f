//! Whether a proof exists: a workload (`memory/locked`), a test of the program
//! (`cli::refusals::nobody_there_is_told`), a check of the module in a guest (`kmod-test::another
//! user's process is not saved`), or any other test by its file
//! (`engine/src/resource/timer.rs::timers_are_read`).

use std::fs;
use std::path::{Path, PathBuf};

/// Finds it in the repository.
///
/// # Errors
/// What is wrong or missing.
pub fn find(root: &Path, proof: &str) -> Result<(), String> {
    match proof.rsplit_once("::") {
        Some(("kmod-test", check)) => find_check(root, check),
        Some((place, test)) => find_test(root, place, test),
        None => match proof.split_once('/') {
            Some((group, name)) => find_workload(root, group, name),
            None => Err("expected group/name, cli::module::test or path.rs::test".into()),
        },
    }
}

fn find_test(root: &Path, place: &str, test: &str) -> Result<(), String> {
    let file = match place.strip_prefix("cli::") {
        Some(module) => PathBuf::from(format!("engine/tests/cli/{module}.rs")),
        None => PathBuf::from(place),
    };
    let text = fs::read_to_string(root.join(&file)).map_err(|err| format!("{}: {err}", file.display()))?;
    if is_test(&text, test) { Ok(()) } else { Err(format!("{} has no such test", file.display())) }
}

fn find_check(root: &Path, check: &str) -> Result<(), String> {
    let dir = root.join("kmod/test/src");
    let mut files = fs::read_dir(&dir).map_err(|err| format!("{}: {err}", dir.display()))?.flatten();
    let entry = format!("(\"{check}\", ");
    let has_it = |file: fs::DirEntry| fs::read_to_string(file.path()).is_ok_and(|text| text.contains(&entry));
    if files.any(has_it) { Ok(()) } else { Err(format!("{} has no such check", dir.display())) }
}

/// Whether a text has a function of this name that an attribute makes a test. Attributes may be of
/// several lines, none of them empty.
fn is_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let here =
        |line: &&str| line.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")));
    let Some(at) = lines.iter().position(here) else { return false };
    let mut above = lines[..at].iter().rev().take_while(|line| !line.is_empty() && !line.starts_with("fn "));
    above.any(|line| ["#[test]", "#[rstest]"].contains(line))
}

/// A workload is a file that its group lists. Those of one architecture are in a subdirectory, as
/// is the list of those that several have.
fn find_workload(root: &Path, group: &str, name: &str) -> Result<(), String> {
    let none = || format!("there is no workload `{name}` of group {group}");
    let dir = root.join("workloads/src").join(group);
    let below = fs::read_dir(&dir).map_err(|_| none())?.flatten().map(|entry| entry.path());
    let rooms: Vec<PathBuf> =
        std::iter::once(dir.clone()).chain(below.filter(|path| path.is_dir())).collect();
    // The name is in kebab case, and the module in snake case.
    if name.contains('_') {
        return Err(none());
    }
    let module = name.replace('-', "_");
    let read = |file: &str| -> Vec<String> {
        rooms.iter().filter_map(|room| fs::read_to_string(room.join(file)).ok()).collect()
    };
    if !read(&format!("{module}.rs")).iter().any(|text| text.contains("const WORKLOAD: Workload")) {
        return Err(none());
    }
    let listed = read("mod.rs").iter().any(|text| lists(text, &module));
    if listed { Ok(()) } else { Err(format!("group {group} does not list its workload `{name}`")) }
}

/// Whether the `corpus!` list in a text has a line for this module.
fn lists(text: &str, module: &str) -> bool {
    let (here, above) = (format!("mod {module};"), format!("use super::{module};"));
    let list = text.lines().skip_while(|line| !line.ends_with("corpus! {")).take_while(|line| *line != "}");
    list.map(str::trim).any(|line| line == here || line == above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("memory/locked", true)]
    #[case("fp/sve-lengths", true)]
    #[case("fp/protection-keys", true)]
    #[case("fp/sve_lengths", false)]
    #[case("memory/kit", false)]
    #[case("memory/nothing", false)]
    #[case("nowhere/locked", false)]
    #[case("locked", false)]
    #[case("cli::refusals::nobody_there_is_told", true)]
    #[case("cli::refusals::nobody_is_told", false)]
    #[case("cli::refused_descriptors::an_anonymous_inode", true)]
    #[case("cli::refused_descriptors::job_that", false)]
    #[case("kmod-test::another user's process is not saved", true)]
    #[case("kmod-test::another user's process is saved", false)]
    #[case("cli::nothing::nobody_there_is_told", false)]
    #[case("engine/src/resource/fd/table.rs::a_table_with_gaps_is_closed_around_its_descriptors", true)]
    #[case("engine/src/resource/fd/table.rs::every_table_comes_out_as_it_was", true)]
    #[case("engine/src/resource/fd/table.rs::rebuild_table", false)]
    fn proofs(#[case] proof: &str, #[case] exists: bool) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(find(&root, proof).is_ok(), exists, "{:?}", find(&root, proof));
    }

    #[test]
    fn a_workload_that_is_not_listed_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("workloads/src/tree");
        fs::create_dir_all(&group).unwrap();
        for module in ["deep", "wide"] {
            let text = "pub const WORKLOAD: Workload = Workload {\n";
            fs::write(group.join(module).with_extension("rs"), text).unwrap();
        }
        // A module that is not in the list.
        let text = "mod wide;\n\ncrate::framework::corpus! {\n    mod deep;\n}\n";
        fs::write(group.join("mod.rs"), text).unwrap();
        assert_eq!(find(root.path(), "tree/deep"), Ok(()));
        let refusal = "group tree does not list its workload `wide`";
        assert_eq!(find(root.path(), "tree/wide"), Err(refusal.to_owned()));
    }
}
