//! The result port: waits until its device appears, and opens it.

use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairn_qemu::job::PORT_NAME;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use crate::Failure;

/// How long the driver may take to register the port. It takes milliseconds; in a guest without the
/// device it never appears.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens the result port for writing as soon as it appears.
pub fn open() -> Result<File, Failure> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).map_err(|e| format!("watch /dev: {e}"))?;
    // Setting the attributes is the last thing devtmpfs does to a new node.
    let changes = inotify::WatchFlags::CREATE | inotify::WatchFlags::ATTRIB;
    inotify::add_watch(&watch, "/dev", changes).map_err(|e| format!("watch /dev: {e}"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(device) = find() {
            return File::options()
                .write(true)
                .open(&device)
                .map_err(|e| format!("open the result port {}: {e}", device.display()));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("the result port did not appear".to_owned());
        }
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [PollFd::new(&watch, PollFlags::IN)];
        poll(&mut fds, Some(&timeout)).map_err(|e| format!("wait for the result port: {e}"))?;
        drain(&watch);
    }
}

/// The port's device, once both the driver and devtmpfs have registered it.
fn find() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let mut ports: Vec<_> = ports.flatten().collect();
    ports.sort_by_key(fs::DirEntry::file_name);
    ports.into_iter().find_map(|port| {
        // The name appears slightly after the port itself; the machine has only this port, so an
        // empty name is accepted.
        let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        let device = Path::new("/dev").join(port.file_name());
        let ours = name.trim().is_empty() || name.trim() == PORT_NAME;
        (ours && device.exists()).then_some(device)
    })
}

fn drain(watch: impl AsFd) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    // One read consumes all queued events; later ones wake the next poll.
    let _ = reader.next();
    while !reader.is_buffer_empty() {
        let _ = reader.next();
    }
}
