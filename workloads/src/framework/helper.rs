//! Small programs that workloads execute: this same executable under another argument list, so that
//! the corpus stays one file.

use std::ffi::CString;
use std::process::ExitCode;

/// Runs helper `name`.
pub fn run(name: &str, args: &[String]) -> ExitCode {
    match name {
        // Prints its arguments, one per line.
        "echo" => {
            for arg in args {
                println!("{arg}");
            }
            ExitCode::SUCCESS
        }
        // Exits with the given status.
        "exit" => args.first().and_then(|a| a.parse::<u8>().ok()).map_or(ExitCode::from(2), ExitCode::from),
        // Succeeds if exactly the given descriptors are open, of those below 1100.
        "descriptors" => {
            let open: Vec<String> =
                (0..1100).filter(|n| super::fd::is_open(*n)).map(|n: i32| n.to_string()).collect();
            if open == args {
                return ExitCode::SUCCESS;
            }
            eprintln!("open after exec: {open:?}, want {args:?}");
            ExitCode::FAILURE
        }
        // Waits until a signal kills it.
        "pause" => loop {
            // SAFETY: pause has no preconditions.
            unsafe { libc::pause() };
        },
        _ => {
            eprintln!("no helper is named {name}");
            ExitCode::from(2)
        }
    }
}

/// Path and argument list that execute helper `name`, for execv(2) in a child: prepared before the
/// fork.
pub fn command(name: &str, args: &[&str]) -> anyhow::Result<(CString, Vec<CString>)> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = std::fs::read_link("/proc/self/exe")?;
    let argv = ["cairn-workloads", "helper", name]
        .iter()
        .chain(args)
        .map(|a| CString::new(*a))
        .collect::<Result<_, _>>()?;
    Ok((CString::new(path.as_os_str().as_bytes())?, argv))
}

/// Replaces the program of the calling process. Returns only when that failed.
pub fn exec(path: &CString, argv: &[CString]) -> anyhow::Error {
    match nix::unistd::execv(path, argv) {
        Ok(never) => match never {},
        Err(errno) => anyhow::Error::from(errno).context(format!("execute {path:?}")),
    }
}
