//! Modules that use each other in a circle, found in their sources.
//!
//! A use is a path that begins with `crate`, `self` or `super`, in `use` declarations and elsewhere
//! outside macros and tests. A module and the modules inside it count as no circle: the outer one
//! declares the inner ones and may re-export what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemFn, ItemMod, ItemUse, UseTree};

/// The modules of a crate by their paths (`image::layout`; empty for the root), with their text.
pub type Sources = BTreeMap<String, String>;

/// The path of the module in a source file; `file` is relative to the crate's `src`.
pub fn module_of(file: &Path) -> String {
    let parts = file.with_extension("");
    let mut parts: Vec<String> = parts.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts.join("::")
}

/// The circles: sets of modules each of which uses every other, directly or by way of others.
///
/// # Errors
/// A source cannot be parsed.
pub fn find(sources: &Sources) -> Result<Vec<BTreeSet<&str>>> {
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, text) in sources {
        let file = syn::parse_file(text).with_context(|| format!("parse module {module}"))?;
        let mut paths =
            Paths { module: module.split("::").filter(|s| !s.is_empty()).collect(), found: Vec::new() };
        paths.visit_file(&file);
        let used = paths.found.iter().filter_map(|path| owner(path, sources));
        uses.insert(
            module,
            used.filter(|used| !is_inside(used, module) && !is_inside(module, used)).collect(),
        );
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|from| (*from, reach(from, &uses))).collect();
    let circles: BTreeSet<BTreeSet<&str>> = reached
        .iter()
        .filter(|(from, all)| all.contains(*from))
        .map(|(from, all)| all.iter().copied().filter(|other| reached[other].contains(from)).collect())
        .collect();
    Ok(circles.into_iter().collect())
}

/// All modules that one uses, directly or by way of others.
fn reach<'a>(from: &str, uses: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = uses[from].iter().copied().collect();
    while let Some(module) = next.pop() {
        if found.insert(module) {
            next.extend(&uses[module]);
        }
    }
    found
}

/// The module in which an item with this path is.
fn owner<'a>(path: &[String], sources: &'a Sources) -> Option<&'a str> {
    let prefixes = (1..=path.len()).rev().map(|len| path[..len].join("::"));
    prefixes.filter_map(|prefix| sources.get_key_value(&prefix)).map(|(module, _)| module.as_str()).next()
}

/// Whether a module is the other one, or inside it.
fn is_inside(module: &str, outer: &str) -> bool {
    module
        .strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || outer.is_empty())
}

/// Collects the paths in a module, from the root of the crate.
struct Paths<'a> {
    module: Vec<&'a str>,
    found: Vec<Vec<String>>,
}

impl Paths<'_> {
    fn add(&mut self, path: &[String]) {
        let module = self.module.iter().map(|part| (*part).to_owned());
        let (base, rest): (Vec<String>, &[String]) = match path.split_first() {
            Some((first, rest)) if first == "crate" => (Vec::new(), rest),
            Some((first, rest)) if first == "self" => (module.collect(), rest),
            Some((first, _)) if first == "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                (module.take(self.module.len().saturating_sub(ups)).collect(), &path[ups..])
            }
            _ => return,
        };
        self.found.push(base.into_iter().chain(rest.iter().cloned()).collect());
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(name) => self.add(&with(&name.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
            _ => self.add(before),
        }
    }
}

/// Whether an item is in tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    let is_cfg_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|p| p.is_ident("test"))
    };
    attributes.iter().any(is_cfg_test)
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("lib.rs", "")]
    #[case("image/mod.rs", "image")]
    #[case("image/layout.rs", "image::layout")]
    fn modules_of_files(#[case] file: &str, #[case] module: &str) {
        assert_eq!(module_of(Path::new(file)), module);
    }

    #[rstest]
    #[case::of_two(&[("a", "use crate::b::X;"), ("b", "fn f() { super::a::g() }")], &[&["a", "b"][..]])]
    #[case::by_way_of_a_third(
        &[("a", "use crate::{c, b::X as Y};"), ("b", "use super::c::*;"), ("c", "use crate::a::{self, Z};")],
        &[&["a", "b", "c"][..]],
    )]
    #[case::one_way(&[("a", "use crate::b;"), ("b", "use std::fs; use rustix::a;")], &[])]
    #[case::in_tests(&[("a", "use crate::b;"), ("b", "#[cfg(test)] mod tests { use crate::a; }")], &[])]
    #[case::of_what_is_inside(&[("a", "use self::b::X;"), ("a::b", "use super::Y;")], &[])]
    #[case::with_its_root(&[("", "use crate::a;"), ("a", "use crate::Error;")], &[])]
    fn circles(#[case] modules: &[(&str, &str)], #[case] wanted: &[&[&str]]) {
        let sources = modules.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let wanted: Vec<BTreeSet<&str>> = wanted.iter().map(|all| all.iter().copied().collect()).collect();
        assert_eq!(find(&sources).unwrap(), wanted);
    }

    #[test]
    fn what_is_no_rust_is_an_error() {
        assert!(find(&Sources::from([("a".into(), "fn".into())])).is_err());
    }
}
