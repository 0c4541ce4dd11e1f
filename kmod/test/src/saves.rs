//! Saving memory to files.

use super::child::{Living, PATIENCE};
use super::{Check, rules::refused};
use anyhow::{Context, Result, ensure};
use cairn::image::FrameSum;
use cairn_kmod_abi::{Device, RANGE_ZEROS, Range, SAVE_MAX, Save};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

pub const CHECKS: &[Check] = &[
    ("what is saved is what is there", is_what_is_there),
    ("pages of zeros are left out", leaves_zeros_out),
    ("many save at once into one file", many_at_once),
    ("memory that another process writes meanwhile", written_meanwhile),
    ("memory of what is not held", not_held),
    ("memory that is not there", not_there),
    ("memory into what is no file", into_no_file),
    ("memory in odd pieces", odd_ranges),
    ("memory for which there is no room", disk_full),
    ("the process is killed while its memory is saved", killed_meanwhile),
    ("who saves is killed meanwhile", saver_killed),
];

const PAGE: usize = 4096;

/// A frozen process, and the addresses and lengths of a range with data in every page, and of one
/// of zeros.
struct Frozen {
    living: Living,
    device: Device,
    full: (u64, u64),
    zeros: (u64, u64),
}

impl Frozen {
    fn new() -> Result<Self> {
        let mut living = Living::new("patterns")?;
        let told = living.hear()?;
        let mut numbers = told.split(' ').map(str::parse::<u64>);
        let mut number = || numbers.next().context("too few numbers")?.context("a number");
        let (full, zeros) = ((number()?, number()?), (number()?, number()?));
        let device = Device::open()?;
        device.freeze(living.pid(), 0, PATIENCE)?;
        Ok(Frozen { living, device, full, zeros })
    }

    fn save(&self, file: impl AsFd, ranges: &[Range]) -> std::io::Result<(Save, Vec<u64>)> {
        let mut saved = vec![0; SAVE_MAX / PAGE / 64];
        self.device.save(self.living.pid(), file.as_fd(), ranges, &mut saved).map(|save| (save, saved))
    }

    /// Reads memory by /proc/PID/mem.
    fn memory(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        File::open(format!("/proc/{}/mem", self.living.pid()))?.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

fn file() -> Result<File> {
    Ok(File::from(memfd_create("kmod-test", MemfdFlags::CLOEXEC)?))
}

fn range(from: u64, len: usize) -> Range {
    Range { from, len: len as u32, flags: 0 }
}

/// Reads what a request wrote, and checks the checksum.
fn written(file: &File, save: &Save) -> Result<Vec<u8>> {
    let mut bytes = vec![0; save.len as usize];
    file.read_exact_at(&mut bytes, save.offset)?;
    ensure!(FrameSum::Xxh64.of(&bytes) == save.sum, "the checksum is another one");
    Ok(bytes)
}

fn is_what_is_there() -> Result<()> {
    let (frozen, mut file) = (Frozen::new()?, file()?);
    file.seek(SeekFrom::Start(3 * PAGE as u64))?;
    let (from, len) = (frozen.full.0, SAVE_MAX.min(frozen.full.1 as usize));
    let (save, saved) = frozen.save(&file, &[range(from, len)])?;
    ensure!((save.offset, save.len) == (3 * PAGE as u64, len as u64), "{save:?}");
    ensure!(file.stream_position()? == save.offset + save.len, "the position has not moved on");
    ensure!(saved.iter().all(|word| *word == u64::MAX), "{saved:x?}");
    ensure!(written(&file, &save)? == frozen.memory(from, len)?, "it is something else");
    // Ranges in any order, one page twice.
    let pieces = [range(from + 9 * PAGE as u64, 2 * PAGE), range(from, PAGE), range(from, PAGE)];
    let (save, saved) = frozen.save(&file, &pieces)?;
    let mut wanted = frozen.memory(from + 9 * PAGE as u64, 2 * PAGE)?;
    let first = frozen.memory(from, PAGE)?;
    wanted.extend(first.iter().chain(&first));
    ensure!(saved[0] == 0b1111 && written(&file, &save)? == wanted, "pieces are something else");
    frozen.living.kill()
}

fn leaves_zeros_out() -> Result<()> {
    let (frozen, file) = (Frozen::new()?, file()?);
    let (full, zeros) = (frozen.full.0, frozen.zeros.0);
    let (save, saved) =
        frozen.save(&file, &[range(zeros, PAGE), range(full, PAGE), range(zeros, 2 * PAGE)])?;
    ensure!((save.len, saved[0]) == (PAGE as u64, 0b0010), "{save:?} {:b}", saved[0]);
    ensure!(written(&file, &save)? == frozen.memory(full, PAGE)?, "it is something else");
    let kept = Range { flags: RANGE_ZEROS, ..range(zeros, 2 * PAGE) };
    let (save, saved) = frozen.save(&file, &[range(zeros, PAGE), kept])?;
    ensure!((save.len, saved[0]) == (2 * PAGE as u64, 0b110), "{save:?} {:b}", saved[0]);
    ensure!(written(&file, &save)? == vec![0; 2 * PAGE], "zeros are something else");
    let (save, saved) = frozen.save(&file, &[range(zeros, frozen.zeros.1 as usize)])?;
    ensure!(save.len == 0 && saved[0] == 0, "{save:?}");
    let (save, _) = frozen.save(&file, &[])?;
    ensure!(save.len == 0 && file.metadata()?.len() == 3 * PAGE as u64, "{save:?}");
    frozen.living.kill()
}

/// Concurrent requests write to different places.
fn many_at_once() -> Result<()> {
    const THREADS: u64 = 4;
    const TIMES: u64 = 64;
    let (frozen, file) = (Frozen::new()?, file()?);
    let wanted = frozen.memory(frozen.full.0, 8 * PAGE)?;
    let places = std::thread::scope(|scope| -> Result<Vec<u64>> {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> Result<Vec<u64>> {
                    (0..TIMES)
                        .map(|_| {
                            let (save, _) = frozen.save(&file, &[range(frozen.full.0, 8 * PAGE)])?;
                            ensure!(written(&file, &save)? == wanted, "it is something else");
                            Ok(save.offset)
                        })
                        .collect()
                })
            })
            .collect();
        let mut places = Vec::new();
        for thread in threads {
            places.extend(thread.join().expect("a check does not panic")?);
        }
        Ok(places)
    })?;
    let mut places = places;
    places.sort_unstable();
    let tiled = places.iter().zip(0..).all(|(place, number)| *place == number * 8 * PAGE as u64);
    ensure!(tiled && places.len() as u64 == THREADS * TIMES, "{places:?}");
    frozen.living.kill()
}

/// The checksum is that of the data written, also if the page changes.
fn written_meanwhile() -> Result<()> {
    const TIMES: u32 = 64;
    let mut living = Living::new("written")?;
    let from: u64 = living.hear()?.parse().context("an address")?;
    let (device, mut file) = (Device::open()?, file()?);
    device.freeze(living.pid(), 0, PATIENCE)?;
    let save = |file: &File| -> Result<Vec<u8>> {
        let mut saved = vec![0; SAVE_MAX / PAGE / 64];
        let save = device.save(living.pid(), file.as_fd(), &[range(from, SAVE_MAX)], &mut saved)?;
        written(file, &save)
    };
    let first = save(&file)?;
    let mut others = 0;
    for _ in 0..TIMES {
        file.rewind()?;
        others += u32::from(save(&file)? != first);
    }
    ensure!(others > 0, "nobody has written to it");
    living.kill()
}

fn not_held() -> Result<()> {
    let (frozen, file) = (Frozen::new()?, file()?);
    let ranges = [range(frozen.full.0, PAGE)];
    frozen.device.thaw(frozen.living.pid())?;
    refused(frozen.save(&file, &ranges), libc::ESRCH)?;
    // Frozen by another session.
    frozen.device.freeze(frozen.living.pid(), 0, PATIENCE)?;
    let other = Device::open()?;
    refused(other.save(frozen.living.pid(), file.as_fd(), &ranges, &mut [0; 4]), libc::ESRCH)?;
    ensure!(file.metadata()?.len() == 0, "something was written");
    frozen.living.kill()
}

fn not_there() -> Result<()> {
    let (frozen, mut file) = (Frozen::new()?, file()?);
    let full = frozen.full.0;
    for from in [0, 0x1000, 0xffff_8880_0000_0000, 0u64.wrapping_sub(PAGE as u64), 1 << 62] {
        refused(frozen.save(&file, &[range(full, PAGE), range(from, 2 * PAGE)]), libc::EFAULT)
            .with_context(|| format!("{from:#x}"))?;
    }
    ensure!(file.metadata()?.len() == 0 && file.stream_position()? == 0, "something was written");
    frozen.living.kill()
}

fn into_no_file() -> Result<()> {
    let frozen = Frozen::new()?;
    let ranges = [range(frozen.full.0, PAGE)];
    let open = |path: &str, flags| rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    let path = "/tmp/kmod-test-save";
    let made: OwnedFd = open(path, OFlags::CREATE | OFlags::WRONLY)?;
    frozen.save(&made, &ranges)?;
    refused(frozen.save(open(path, OFlags::RDONLY)?, &ranges), libc::EBADF)?;
    refused(frozen.save(open(path, OFlags::PATH)?, &ranges), libc::EBADF)?;
    refused(frozen.save(open(path, OFlags::WRONLY | OFlags::APPEND)?, &ranges), libc::EINVAL)?;
    // A pipe without a reader, which would block.
    refused(frozen.save(rustix::pipe::pipe()?.1, &ranges), libc::EINVAL)?;
    refused(frozen.save(open("/dev/null", OFlags::WRONLY)?, &ranges), libc::EINVAL)?;
    refused(frozen.save(&frozen.device_as_file()?, &ranges), libc::EINVAL)?;
    std::fs::remove_file(path)?;
    frozen.living.kill()
}

impl Frozen {
    fn device_as_file(&self) -> Result<File> {
        Ok(File::options().read(true).write(true).open(cairn_kmod_abi::DEVICE)?)
    }
}

fn odd_ranges() -> Result<()> {
    let (frozen, file) = (Frozen::new()?, file()?);
    let full = frozen.full.0;
    let odd = [
        range(full + 1, PAGE),
        range(full, PAGE - 1),
        range(full, 0),
        Range { flags: 2, ..range(full, PAGE) },
    ];
    for odd in odd {
        refused(frozen.save(&file, &[range(full, PAGE), odd]), libc::EINVAL)
            .with_context(|| format!("{odd:?}"))?;
    }
    // The maximum, and one page more.
    let most = [range(full, SAVE_MAX - PAGE), range(full, PAGE), range(full, PAGE)];
    frozen.save(&file, &most[..2])?;
    let mut saved = vec![0; SAVE_MAX / PAGE / 64 + 1];
    refused(frozen.device.save(frozen.living.pid(), file.as_fd(), &most, &mut saved), libc::EINVAL)?;
    ensure!(file.metadata()?.len() == SAVE_MAX as u64, "something was written");
    frozen.living.kill()
}

fn killed_meanwhile() -> Result<()> {
    let (frozen, mut file) = (&Frozen::new()?, file()?);
    let ranges = [range(frozen.full.0, SAVE_MAX)];
    let wanted = frozen.memory(frozen.full.0, SAVE_MAX)?;
    let (saved, first) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let saving = scope.spawn(move || -> Result<u32> {
            for times in 0.. {
                file.rewind()?;
                match frozen.save(&file, &ranges) {
                    Ok((save, _)) => {
                        ensure!(written(&file, &save)? == wanted, "it is something else");
                        // The receiver reads one message only.
                        let _ = saved.send(());
                    }
                    // The mm is gone, or being torn down.
                    Err(err) if matches!(err.raw_os_error(), Some(libc::ESRCH | libc::EFAULT)) => {
                        return Ok(times);
                    }
                    Err(err) => anyhow::bail!("{err}"),
                }
            }
            unreachable!("it is killed");
        });
        first.recv().context("it is not even saved once")?;
        frozen.living.signal(libc::SIGKILL);
        let times = saving.join().expect("a check does not panic")?;
        println!("# saved {times} times before it was gone");
        Ok(())
    })
}

fn saver_killed() -> Result<()> {
    let living = Living::new("count")?;
    let mut saver = Living::new("save-much")?;
    saver.tell(&living.pid().to_string())?;
    saver.ready()?;
    saver.kill()?;
    living.runs_on()
}

fn disk_full() -> Result<()> {
    let frozen = Frozen::new()?;
    let dir = "/tmp/kmod-test-small";
    std::fs::create_dir_all(dir)?;
    rustix::mount::mount("small", dir, "tmpfs", rustix::mount::MountFlags::empty(), Some(c"size=64k"))?;
    let result = (|| {
        let file = File::create(format!("{dir}/file"))?;
        frozen.save(&file, &[range(frozen.full.0, 8 * PAGE)])?;
        refused(frozen.save(&file, &[range(frozen.full.0, 16 * PAGE)]), libc::ENOSPC)
    })();
    rustix::mount::unmount(dir, rustix::mount::UnmountFlags::empty())?;
    result?;
    frozen.living.kill()
}
