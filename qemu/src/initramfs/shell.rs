//! A shell for interactive use of a guest.

use std::path::{Path, PathBuf};

use super::{Builder, Error};
use crate::kernels::fetch::find_program;

/// The names under which busybox is linked in the guest.
const APPLETS: &[&str] = &[
    "sh",
    "ls",
    "cat",
    "ps",
    "mount",
    "umount",
    "dmesg",
    "kill",
    "sleep",
    "mkdir",
    "rm",
    "cp",
    "mv",
    "ln",
    "find",
    "grep",
    "less",
    "more",
    "vi",
    "top",
    "free",
    "df",
    "du",
    "stat",
    "id",
    "env",
    "echo",
    "printf",
    "head",
    "tail",
    "sed",
    "awk",
    "hexdump",
    "od",
    "xargs",
    "wc",
    "sort",
    "uname",
    "lsmod",
    "insmod",
    "strings",
    "diff",
    "md5sum",
    "sha256sum",
    "seq",
    "touch",
    "chmod",
    "chown",
    "mknod",
    "mkfifo",
    "setsid",
    "nohup",
    "clear",
    "reset",
    "poweroff",
    "ip",
    "nc",
    "timeout",
];

/// Adds a shell and ordinary tools: the given busybox (for a guest of another architecture), or the
/// installed one (Debian: `busybox-static`), else `bash` or `sh` with the common tools of this
/// machine. Returns the guest command that starts it interactively.
///
/// # Errors
/// When no shell is found, or one cannot be read.
pub fn add_shell<'a>(
    builder: Builder<'a>,
    busybox: Option<&Path>,
) -> Result<(Builder<'a>, Vec<String>), Error> {
    let command = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    if let Some(busybox) = busybox.map(Path::to_owned).or_else(|| find_program("busybox")) {
        let mut builder = builder.program(&busybox, "/bin/busybox")?;
        for applet in APPLETS {
            let path = format!("/bin/{applet}");
            if !builder.has(&path) {
                builder = builder.symlink(&path, "busybox")?;
            }
        }
        return Ok((builder, command(&["/bin/sh", "-l"])));
    }
    let shell: PathBuf = ["bash", "sh"]
        .iter()
        .find_map(|name| find_program(name))
        .ok_or_else(|| Error::Program { path: "sh".into(), what: "no shell on this machine".into() })?;
    let mut builder = builder.program(&shell, "/bin/sh")?;
    for applet in APPLETS {
        let path = format!("/bin/{applet}");
        if let Some(tool) = find_program(applet).filter(|tool| is_elf(tool))
            && !builder.has(&path)
        {
            builder = builder.program(&tool, &path)?;
        }
    }
    Ok((builder, command(&["/bin/sh", "-l"])))
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}
