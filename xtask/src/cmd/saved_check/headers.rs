//! The names in the kernel's user-space headers: of the newest package in the archive, or, if that
//! is unavailable, those installed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cairn_qemu::kernels::extra;

use super::from_archive;
use crate::source::KernelSource;
use crate::workspace::Workspace;

/// A kind of names, all of which must be in the document.
pub struct Kind {
    /// Their description.
    pub what: &'static str,
    /// Their files, relative to the headers' root; of several alternatives for one file, the first
    /// that exists.
    files: &'static [&'static [&'static str]],
    /// Reads the name in a `#define` of this name and value.
    read: fn(name: &str, value: &str) -> Option<String>,
}

const PRCTL: &[&str] = &["usr/include/linux/prctl.h"];

/// Every kind.
pub const KINDS: &[Kind] = &[
    Kind {
        what: "option of prctl(2)",
        files: &[PRCTL],
        // Values of options are indented there.
        read: |name, _| name.starts_with("PR_").then(|| name.to_owned()),
    },
    Kind {
        what: "option of arch_prctl(2)",
        files: &[&["usr/lib/linux/uapi/x86/asm/prctl.h", "usr/include/x86_64-linux-gnu/asm/prctl.h"]],
        // Their arguments are smaller numbers and bits.
        read: |name, value| (name.starts_with("ARCH_") && value.starts_with("0x")).then(|| name.to_owned()),
    },
    Kind {
        what: "system call",
        files: &[
            &["usr/include/asm-generic/unistd.h"],
            &["usr/lib/linux/uapi/x86/asm/unistd_64.h", "usr/include/x86_64-linux-gnu/asm/unistd_64.h"],
            &["usr/lib/linux/uapi/powerpc/asm/unistd_64.h"],
        ],
        read: |name, _| {
            let call = name.strip_prefix("__NR_").or_else(|| name.strip_prefix("__NR3264_"))?;
            // Architecture-specific calls, and the end of the list.
            (!["arch_specific_syscall", "syscalls"].contains(&call)).then(|| call.to_owned())
        },
    },
    Kind {
        what: "flag of clone(2)",
        files: &[&["usr/include/linux/sched.h"]],
        read: |name, _| {
            let flag = name.starts_with("CLONE_") && !name.starts_with("CLONE_ARGS_");
            flag.then(|| name.to_owned())
        },
    },
    Kind {
        what: "command of fcntl(2)",
        files: &[&["usr/include/linux/fcntl.h"], &["usr/include/asm-generic/fcntl.h"]],
        read: |name, _| {
            let value = ["F_SEAL_", "F_OWNER_", "F_LINUX_"].iter().any(|start| name.starts_with(start))
                || name.ends_with("LCK");
            (name.starts_with("F_") && !value).then(|| name.to_owned())
        },
    },
    Kind {
        what: "advice of madvise(2)",
        files: &[&["usr/include/asm-generic/mman-common.h"]],
        read: |name, _| name.starts_with("MADV_").then(|| name.to_owned()),
    },
    Kind {
        what: "register set",
        files: &[&["usr/include/linux/elf.h"]],
        read: |name, _| {
            let here = ["NT_386_", "NT_X86_", "NT_ARM_", "NT_PPC_"].iter().any(|arch| name.starts_with(arch));
            here.then(|| name.to_owned())
        },
    },
];

/// The headers of one kernel.
pub struct Headers {
    /// Their version, for messages.
    pub version: String,
    /// Whether they are the newest that the archive serves.
    pub newest: bool,
    root: PathBuf,
}

impl Headers {
    /// Fetches them, or uses the installed ones and reports that.
    pub fn find(workspace: &Workspace, source: &KernelSource) -> Result<Headers> {
        match fetch(workspace, source) {
            Ok(found) => {
                let version = format!("the headers of {}", found.version);
                Ok(Headers { version, newest: true, root: found.root })
            }
            Err(why) => {
                let root = PathBuf::from("/");
                if !root.join(PRCTL[0]).is_file() {
                    bail!("no kernel headers: linux-libc-dev is not installed, and {why:#}");
                }
                eprintln!("the newest kernel headers are unavailable ({why:#}): using the installed ones");
                Ok(Headers { version: "the installed headers".into(), newest: false, root })
            }
        }
    }

    /// All names of a kind.
    pub fn names(&self, kind: &Kind) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for places in kind.files {
            let Some(file) = places.iter().map(|place| self.root.join(place)).find(|file| file.is_file())
            else {
                if self.newest {
                    bail!("{} has no {}", self.version, places.join(" or "));
                }
                continue;
            };
            names.extend(defines(&read(&file)?).filter_map(|(name, value)| (kind.read)(name, value)));
        }
        if names.is_empty() {
            bail!("{} have no {}", self.version, kind.what);
        }
        Ok(names)
    }

    /// Whether the header of prctl(2) has this word anywhere: values of options have names, too.
    pub fn mentions_option(&self, name: &str) -> Result<bool> {
        let text = read(&self.root.join(PRCTL[0]))?;
        Ok(text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name))
    }
}

fn fetch(workspace: &Workspace, source: &KernelSource) -> Result<extra::ProgramHeaders> {
    from_archive(workspace, source, extra::program_headers)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

/// Name and value of every `#define` that is not indented and has a value.
fn defines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let rest = line.strip_prefix("#define")?.trim_start();
        let (name, value) = rest.split_once(char::is_whitespace)?;
        let value = value.trim();
        (!value.is_empty() && !name.contains('(')).then_some((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(what: &str, text: &str) -> Vec<String> {
        let kind = KINDS.iter().find(|kind| kind.what == what).unwrap();
        defines(text).filter_map(|(name, value)| (kind.read)(name, value)).collect()
    }

    #[test]
    fn options_are_told_from_their_values() {
        let text = "#ifndef _LINUX_PRCTL_H\n#define _LINUX_PRCTL_H\n#define PR_SET_NAME    15\t\t/* Set */\n\
                    # define PR_MCE_KILL_LATE    0\n#define PR_MCE_KILL\t33\n";
        assert_eq!(named("option of prctl(2)", text), ["PR_SET_NAME", "PR_MCE_KILL"]);
        let text = "#define ARCH_SET_GS\t\t0x1001\n#define ARCH_XCOMP_TILEDATA 18\n#define ARCH_SHSTK_WRSS (1ULL <<  1)\n";
        assert_eq!(named("option of arch_prctl(2)", text), ["ARCH_SET_GS"]);
    }

    #[test]
    fn calls_and_commands() {
        let text = "#define __NR_io_setup 0\n#define __NR3264_fcntl 25\n#define __NR_syscalls 473\n#define __SYSCALL(x, y)\n";
        assert_eq!(named("system call", text), ["io_setup", "fcntl"]);
        let text =
            "#define F_SETLK\t\t6\n#define F_RDLCK\t\t0\n#define F_SEAL_GROW\t0x4\n#define F_OWNER_PID\t1\n";
        assert_eq!(named("command of fcntl(2)", text), ["F_SETLK"]);
    }
}
