//! `docs/context-file.md` shows a real file and a program that reads one; both are held to it here.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde::Serialize;

use super::*;

const PAGE: &str = include_str!("../../../../docs/context-file.md");

/// The records of the example.
#[derive(Serialize)]
struct Example {
    pid: u32,
    memory: Vec<CopyRange>,
}

#[derive(Serialize)]
struct CopyRange {
    start: u64,
    len: u64,
    offset: u64,
}

impl Schemas for Example {
    const SCHEMAS: &'static [(&'static str, u32)] = &[("memory", 1), ("task", 2)];
}

fn write_example(path: &Path) {
    let writer = Writer::create(path, fixed_origin(4096), FrameSum::Xxh3).unwrap();
    let mut page = vec![0; 4096];
    page[..12].copy_from_slice(b"hello, cairn");
    let offset = writer.pages().append(&page).unwrap();
    let memory = vec![CopyRange { start: 0x7f00_0000_0000, len: 4096, offset }];
    writer.finish(&Example { pid: 4711, memory }, Sync::None).unwrap();
}

/// As `hexdump -C` prints it: sixteen bytes a line, a star for lines like the one before.
fn hexdump(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut before: &[u8] = &[];
    let mut starred = false;
    for (number, line) in bytes.chunks(16).enumerate() {
        if line == before {
            if !starred {
                text.push_str("*\n");
            }
            starred = true;
            continue;
        }
        (before, starred) = (line, false);
        write!(text, "{:08x} ", number * 16).unwrap();
        for (at, byte) in line.iter().enumerate() {
            write!(text, "{}{byte:02x}", if at == 8 { "  " } else { " " }).unwrap();
        }
        let shown: String =
            line.iter().map(|&byte| if (b' '..=b'~').contains(&byte) { byte as char } else { '.' }).collect();
        writeln!(text, "{:1$}|{shown}|", "", 2 + 3 * (16 - line.len()) + usize::from(line.len() <= 8))
            .unwrap();
    }
    writeln!(text, "{:08x}", bytes.len()).unwrap();
    text
}

/// The first fenced block of the page in `language`.
fn fenced(language: &str) -> &'static str {
    let (_, after) = PAGE.split_once(&format!("```{language}\n")).expect("the page has such a block");
    after.split_once("```").expect("the block ends").0
}

#[test]
fn the_worked_example_is_a_real_file() {
    let (_dir, path) = scratch();
    write_example(&path);
    let dump = hexdump(&fs::read(&path).unwrap());
    assert_eq!(fenced("hexdump"), dump, "the page should show\n{dump}");
}

#[test]
fn the_reader_of_the_page_reads_files() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skip: there is no python3 here");
        return;
    }
    let (_dir, path) = scratch();
    let read =
        |path: &Path| Command::new("python3").arg("-c").arg(fenced("python")).arg(path).output().unwrap();

    write_file(&path, &[2, 256]);
    let output = read(&path);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @"
    machine 62 class 2 data 1, pages of 4096 bytes, taken at 1700000000000000000 ns
    by cairn 0.1.0 on Linux 6.12.0-example
    page data: 1056768 bytes at 4096
    records: 54 bytes at 1060864
    page checksums: 48 bytes at 1060920
    frame: 8192 bytes at 4096, xxh3-64 bcad564a406f2f90
    frame: 1048576 bytes at 12288, xxh3-64 4826d8509de0d2b0
    ");

    let whole = fs::read(&path).unwrap();
    for (at, value) in [(0, b'x'), (8, 9), (whole.len() - 1, 0), (whole.len() - 30, 1)] {
        let mut bytes = whole.clone();
        bytes[at] = value;
        fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path).status.code(), Some(1), "byte {at} changed");
    }
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    assert_eq!(read(&path).status.code(), Some(1));
}
