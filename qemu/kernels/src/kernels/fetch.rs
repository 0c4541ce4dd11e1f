//! Downloads one file, completely or not at all.
//!
//! The transfer is done by a program that is already installed and configured on the machine: apt's
//! own downloader if there is apt (it knows the proxy, the credentials and the transports of
//! `apt.conf`), else `curl`. Both resume a partial file. This keeps a TLS stack and a second set of
//! proxy rules out of this crate. A download is trusted only after its digest was checked.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::progress::Progress;

const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// Why a file cannot be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server does not have the file.
    #[error("fetch {url}: no such file there")]
    NotFound {
        /// The requested address.
        url: String,
    },
    /// The transfer failed.
    #[error("fetch {url}: {why}")]
    Failed {
        /// The requested address.
        url: String,
        /// The last lines of the downloader's output.
        why: String,
    },
    /// The downloaded file differs from what the index lists.
    #[error("fetch {url}: got sha256 {got} ({size} bytes), the archive's index says {want}")]
    Mismatch {
        /// The requested address.
        url: String,
        /// Digest of the downloaded file.
        got: String,
        /// The expected digest.
        want: String,
        /// Size of the downloaded file in bytes.
        size: u64,
    },
    /// No program to download with is installed.
    #[error("nothing to download with: neither apt's downloader nor curl is installed")]
    NoDownloader,
    /// A local I/O error.
    #[error("{action} {}", path.display())]
    Io {
        /// The failed action.
        action: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

/// A file to download, and its expected digest.
pub struct Request<'a> {
    /// Address; `file:` is a local archive.
    pub url: &'a str,
    /// Name of the file in messages.
    pub what: &'a str,
    /// Expected size in bytes and SHA-256 in hexadecimal; absent if no index lists them.
    pub promised: Option<(u64, &'a str)>,
}

/// Downloads a file, checks it, and only then renames it to `dest`. A partial file stays beside it
/// as `dest.part`, so that an interrupted transfer is resumed. The caller holds the lock that
/// covers `dest`.
///
/// # Errors
/// When the transfer fails or the content differs from the expected one; `dest` is then unchanged.
pub fn download(request: &Request<'_>, dest: &Path, progress: &dyn Progress) -> Result<(), Error> {
    let mut part = dest.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    if request.promised.is_none() && part.exists() {
        // Without a digest a resumed download could not be checked.
        fs::remove_file(&part).map_err(io_error("remove", &part))?;
    }
    let whole = match request.promised {
        Some((size, _)) => part.metadata().is_ok_and(|m| m.len() == size),
        None => false,
    };
    if !whole {
        if let Some((size, _)) = request.promised
            && part.metadata().is_ok_and(|m| m.len() > size)
        {
            fs::remove_file(&part).map_err(io_error("remove", &part))?;
        }
        transfer(request, &part, progress)?;
    }
    if let Some((size, want)) = request.promised {
        let (got, bytes) = digest(&part)?;
        if got != want {
            fs::remove_file(&part).map_err(io_error("remove", &part))?;
            let url = request.url.to_owned();
            return Err(Error::Mismatch { url, got, want: want.to_owned(), size: bytes });
        }
        progress.download(request.what, size, size);
    }
    fs::rename(&part, dest).map_err(io_error("rename into", dest))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

fn transfer(request: &Request<'_>, part: &Path, progress: &dyn Progress) -> Result<(), Error> {
    if let Some(path) = request.url.strip_prefix("file:") {
        let path = PathBuf::from(format!("/{}", path.trim_start_matches('/')));
        return match fs::copy(&path, part) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::NotFound { url: request.url.to_owned() })
            }
            Err(e) => Err(io_error("copy", &path)(e)),
        };
    }
    let mut command = if Path::new(APT_HELPER).exists() {
        let mut command = Command::new(APT_HELPER);
        // The cache belongs to the user, so apt's unprivileged sandbox user could not write to it.
        command.args([
            "-q",
            "-o",
            "APT::Sandbox::User=",
            "-o",
            "Acquire::Retries=3",
            "download-file",
            request.url,
        ]);
        command.arg(part);
        command
    } else if on_path("curl") {
        let mut command = Command::new("curl");
        command.args([
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--retry",
            "3",
            "--continue-at",
            "-",
        ]);
        command.arg("--output").arg(part).arg(request.url);
        command
    } else {
        return Err(Error::NoDownloader);
    };
    // The output is parsed below, so its language must be fixed.
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(io_error("start the downloader for", part))?;
    let (success, said) = watch(child, request, part, progress).map_err(io_error("wait for", part))?;
    if success && part.exists() {
        return Ok(());
    }
    let url = request.url.to_owned();
    if said.contains("404") {
        return Err(Error::NotFound { url });
    }
    let telling =
        |line: &&str| line.starts_with("E:") || line.starts_with("Err:") || line.starts_with("curl:");
    let why = said.lines().rev().find(telling).or(said.lines().last()).unwrap_or("the downloader failed");
    Err(Error::Failed { url, why: why.to_owned() })
}

/// Waits for the downloader, collecting its output, and reports how much has arrived.
fn watch(
    mut child: Child,
    request: &Request<'_>,
    part: &Path,
    progress: &dyn Progress,
) -> io::Result<(bool, String)> {
    let mut out = child.stdout.take().expect("piped");
    let mut err = child.stderr.take().expect("piped");
    std::thread::scope(|scope| {
        let (ended, over) = std::sync::mpsc::channel::<()>();
        let total = request.promised.map(|(size, _)| size);
        if let Some(total) = total {
            scope.spawn(move || {
                // A growing file is not worth an inotify watch; polling four times a second is
                // enough.
                while over.recv_timeout(Duration::from_millis(250))
                    == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    let done = part.metadata().map_or(0, |m| m.len());
                    if done > 0 && done < total {
                        progress.download(request.what, done, total);
                    }
                }
            });
        }
        let errors = scope.spawn(move || {
            let mut text = Vec::new();
            err.read_to_end(&mut text).map(|_| text)
        });
        let mut said = Vec::new();
        let read = out.read_to_end(&mut said);
        let status = child.wait();
        drop(ended);
        let errors = errors.join().expect("reading does not panic");
        read?;
        said.extend(errors?);
        Ok((status?.success(), String::from_utf8_lossy(&said).into_owned()))
    })
}

/// Whether a program of this name is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    find_program(program).is_some()
}

/// The first program of this name on the path, or in the system directories that an ordinary user's
/// path lacks.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// A file's SHA-256 in hexadecimal, and its size.
///
/// # Errors
/// When it cannot be read.
pub fn digest(path: &Path) -> Result<(String, u64), Error> {
    let mut file = File::open(path).map_err(io_error("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        match file.read(&mut buffer).map_err(io_error("read", path))? {
            0 => return Ok((hex(&hasher.finalize()), size)),
            n => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

/// The SHA-256 of some bytes in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    fn setup() -> (tempfile::TempDir, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        fs::write(&source, b"content").unwrap();
        let url = format!("file://{}", source.display());
        (dir, url, sha256_hex(b"content"))
    }

    #[test]
    fn a_good_file_gets_its_name() {
        let (dir, url, sha256) = setup();
        let dest = dir.path().join("dest");
        download(&Request { url: &url, what: "x", promised: Some((7, &sha256)) }, &dest, &Silent).unwrap();
        assert_eq!(fs::read(&dest).unwrap(), b"content");
        assert!(!dir.path().join("dest.part").exists());
    }

    #[test]
    fn a_wrong_file_is_not_kept() {
        let (dir, url, _) = setup();
        let dest = dir.path().join("dest");
        let other = sha256_hex(b"other");
        let error = download(&Request { url: &url, what: "x", promised: Some((7, &other)) }, &dest, &Silent)
            .unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_partial_file_does_not_stick() {
        let (dir, url, sha256) = setup();
        let dest = dir.path().join("dest");
        fs::write(dir.path().join("dest.part"), b"garbage").unwrap();
        let request = Request { url: &url, what: "x", promised: Some((7, &sha256)) };
        assert!(matches!(download(&request, &dest, &Silent), Err(Error::Mismatch { .. })));
        download(&request, &dest, &Silent).unwrap();
        assert_eq!(fs::read(&dest).unwrap(), b"content");
    }

    #[test]
    fn an_absent_file_is_told_apart() {
        let (dir, url, _) = setup();
        let request = Request { url: &format!("{url}-not"), what: "x", promised: None };
        let error = download(&request, &dir.path().join("dest"), &Silent).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}
