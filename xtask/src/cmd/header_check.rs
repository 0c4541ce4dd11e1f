//! `cargo xtask header-check`: the module's user ABI and its Rust mirror must be the same.
//!
//! A C compiler prints the layout of the structures and the values of the constants of
//! `kmod/uapi/cairn.h`, the example `layout` of `kmod/abi` those of the Rust side, and every
//! difference is an error: a field that moved, a constant that changed, and a name that only one
//! side has. The names are read from the header itself, so that none is forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::workspace::Workspace;

#[derive(Parser)]
pub struct Args {
    /// Do not access the network
    #[arg(long)]
    offline: bool,
}

/// The header, relative to the repository.
const HEADER: &str = "kmod/uapi/cairn.h";

pub fn run(args: &Args) -> Result<bool> {
    check(&Workspace::find()?, args.offline)
}

/// Compares the two sides and prints the differences.
pub fn check(workspace: &Workspace, offline: bool) -> Result<bool> {
    let header = workspace.root.join(HEADER);
    let text = fs::read_to_string(&header).with_context(|| format!("read {}", header.display()))?;
    let c = ask_c(&header, &names(&text)?)?;
    let rust = ask_rust(workspace, offline)?;
    let differences = compare(&facts(&c), &facts(&rust));
    for difference in &differences {
        eprintln!("{HEADER}: {difference}");
    }
    Ok(differences.is_empty())
}

/// The definitions in a header.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Constants, and whether each is a string.
    constants: Vec<(String, bool)>,
    /// Structures and their fields.
    structures: Vec<(String, Vec<String>)>,
}

/// Reads the names in a header: `#define`s of plain values, and structures. Any other definition is
/// an error, so that nothing stays unchecked.
fn names(text: &str) -> Result<Names> {
    let text = without_comments(text);
    let mut found = Names::default();
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix('#').map(str::trim_start) else { continue };
        let Some(rest) = rest.strip_prefix("define") else { continue };
        let (name, value) = rest.trim().split_once([' ', '\t']).unwrap_or((rest.trim(), ""));
        // The include guard has no value.
        if value.trim().is_empty() {
            continue;
        }
        if name.contains('(') {
            bail!("{name}: a macro with parameters has no counterpart in Rust");
        }
        found.constants.push((name.to_owned(), value.trim().starts_with('"')));
    }
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let code = code.join("\n");
    let mut rest = code.as_str();
    while let Some(open) = rest.find('{') {
        let head: Vec<&str> =
            rest[..open].split([';', '}']).next_back().unwrap_or("").split_whitespace().collect();
        let close = rest[open..].find('}').context("unclosed brace")? + open;
        let ["struct", name] = head.as_slice() else {
            bail!("not a named structure: {}", head.join(" "));
        };
        let body = &rest[open + 1..close];
        if body.contains(['{', ':']) {
            bail!("{name}: bit fields and nested structures are not supported");
        }
        let fields = body.split(';').map(str::trim).filter(|field| !field.is_empty());
        let fields = fields.map(field_name).collect::<Option<Vec<_>>>();
        let fields = fields.with_context(|| format!("{name}: unnamed field"))?;
        found.structures.push(((*name).to_owned(), fields));
        rest = &rest[close + 1..];
    }
    Ok(found)
}

/// The name in `__u64 x` or `char x[32]`.
fn field_name(declaration: &str) -> Option<String> {
    let plain = declaration.split('[').next()?.trim_end();
    let name = plain.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (!name.is_empty() && name.len() < plain.len()).then(|| name.to_owned())
}

fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        out.push_str(&rest[..start]);
        out.push(' ');
        rest = rest[start..].find("*/").map_or("", |end| &rest[start + end + 2..]);
    }
    out.push_str(rest);
    out
}

/// A C program that prints the values of the names, in the format of the example `layout`.
fn program(header: &Path, names: &Names) -> String {
    let mut text = format!(
        "#include \"{}\"\n#include <stddef.h>\n#include <stdio.h>\nint main(void)\n{{\n",
        header.display()
    );
    for (name, is_text) in &names.constants {
        text.push_str(&if *is_text {
            format!("\tprintf(\"const {name} %s\\n\", {name});\n")
        } else {
            format!("\tprintf(\"const {name} %llu\\n\", (unsigned long long)({name}));\n")
        });
    }
    for (name, fields) in &names.structures {
        text.push_str(&format!("\tprintf(\"struct {name} %zu\\n\", sizeof(struct {name}));\n"));
        for field in fields {
            text.push_str(&format!(
                "\tprintf(\"field {name}.{field} %zu %zu\\n\", offsetof(struct {name}, {field}), \
                 sizeof(((struct {name} *)0)->{field}));\n"
            ));
        }
    }
    text.push_str("\treturn 0;\n}\n");
    text
}

/// The layout of the header, by the C compiler. A warning is an error, also one for padding.
fn ask_c(header: &Path, names: &Names) -> Result<String> {
    let dir = tempfile::tempdir().context("make a directory")?;
    let (source, binary) = (dir.path().join("layout.c"), dir.path().join("layout"));
    fs::write(&source, program(header, names)).context("write the C program")?;
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&cc)
        .args(["-Wall", "-Wextra", "-Wpadded", "-Werror", "-o"])
        .args([&binary, &source])
        .output()
        .with_context(|| format!("start {}", cc.display()))?;
    if !output.status.success() {
        bail!("{} rejects {}:\n{}", cc.display(), header.display(), String::from_utf8_lossy(&output.stderr));
    }
    said(&mut Command::new(&binary))
}

fn ask_rust(workspace: &Workspace, offline: bool) -> Result<String> {
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--package", "cairn-kmod-abi", "--example", "layout"]);
    if offline {
        command.arg("--offline");
    }
    said(&mut command)
}

fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("start {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lines as names (`field cairn_info.size`) with values.
fn facts(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let (kind, rest) = line.split_once(' ')?;
            let (name, value) = rest.split_once(' ')?;
            Some((format!("{kind} {name}"), value.to_owned()))
        })
        .collect()
}

/// All differences between the two sides.
fn compare(c: &BTreeMap<String, String>, rust: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in c {
        match rust.get(name) {
            None => found.push(format!("{name} has no counterpart in Rust")),
            Some(other) if other != value => found.push(format!("{name}: {value} in C, {other} in Rust")),
            Some(_) => {}
        }
    }
    let only_rust = rust.keys().filter(|name| !c.contains_key(*name));
    found.extend(only_rust.map(|name| format!("{name} is in Rust only")));
    if c.is_empty() {
        found.push("the header defines nothing".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &str = "#ifndef _G\n#define _G\n#include <linux/types.h>\n\
        /* #define NOT 1 struct no { int x; }; */\n#define A_NUMBER\t(1ULL << 40)\n#define A_TEXT \"/dev/x\"\n\
        struct a { /* first */ __u32 size; char text[12]; };\nstruct b {\n\t__u64 one;\n\tstruct a two;\n};\n#endif\n";

    #[test]
    fn names_of_a_header() {
        let names = names(SOME).unwrap();
        assert_eq!(names.constants, [("A_NUMBER".to_owned(), false), ("A_TEXT".to_owned(), true)]);
        let fields = |words: [&str; 2]| words.map(str::to_owned).to_vec();
        assert_eq!(
            names.structures,
            [("a".to_owned(), fields(["size", "text"])), ("b".to_owned(), fields(["one", "two"]))]
        );
        assert!(super::names("union u { int x; };").is_err());
        assert!(super::names("struct s { int x : 3; };").is_err());
        assert!(super::names("#define F(x) (x)\n").is_err());
    }

    /// The layout of a header with this text, by the compiler.
    fn compiled(text: &str) -> Result<BTreeMap<String, String>> {
        let dir = tempfile::tempdir().unwrap();
        let header = dir.path().join("x.h");
        fs::write(&header, text).unwrap();
        Ok(facts(&ask_c(&header, &names(text)?)?))
    }

    #[test]
    fn a_planted_difference_is_found() {
        let good = compiled(SOME).unwrap();
        assert_eq!(good["field b.two"], "8 16");
        assert_eq!(good["const A_TEXT"], "/dev/x");
        assert!(compare(&good, &good).is_empty());
        let planted = [
            ("text[12]", "text[20]", "struct a: "),
            ("__u64 one;", "__u64 one; __u64 three;", "field b.three has no counterpart"),
            ("1ULL << 40", "1ULL << 41", "const A_NUMBER: "),
            ("__u32 size;", "__u32 length;", "field a.size is in Rust only"),
            ("/dev/x", "/dev/y", "const A_TEXT: /dev/y in C, /dev/x in Rust"),
        ];
        for (from, to, expect) in planted {
            let changed = compiled(&SOME.replace(from, to)).unwrap();
            let differences = compare(&changed, &good);
            assert!(differences.iter().any(|d| d.contains(expect)), "{from}: {differences:?}");
        }
    }

    #[test]
    fn a_hole_is_refused() {
        let error = compiled("#include <linux/types.h>\nstruct a { __u32 x; __u64 y; };\n").unwrap_err();
        assert!(error.to_string().contains("padding"), "{error}");
    }

    #[test]
    fn the_projects_own_header_is_understood() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(HEADER);
        let names = names(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(names.structures.iter().any(|(name, fields)| name == "cairn_info" && fields.len() == 5));
        assert!(names.constants.iter().any(|(name, _)| name == "CAIRN_IOC_GET_INFO"));
    }
}
