//! Requests at random that know what a request looks like: right sizes and wrong ones, PIDs that are there and that are not, held and not,
//! addresses that may be written and that may not.

use super::child::Living;
use anyhow::{Context, Result, ensure};
use cairn::sys::kmod::{self, DEVICE, Device};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// What an ioctl takes: its number, bytes of its structure, where it has an address.
const REQUESTS: &[(libc::Ioctl, usize, Option<usize>)] = &[
    (kmod::IOC_GET_INFO, size_of::<kmod::Info>(), None),
    (kmod::IOC_FREEZE, size_of::<kmod::Freeze>(), None),
    (kmod::IOC_THAW, size_of::<kmod::Thaw>(), None),
    (kmod::IOC_GET_THREAD, size_of::<kmod::Thread>(), None),
    (kmod::IOC_GET_REGSET, size_of::<kmod::Regset>(), Some(std::mem::offset_of!(kmod::Regset, addr))),
    (kmod::IOC_GET_PENDING, size_of::<kmod::Pending>(), Some(std::mem::offset_of!(kmod::Pending, addr))),
    (kmod::IOC_GET_PROCESS, size_of::<kmod::Process>(), None),
    (kmod::IOC_GET_ACTIONS, size_of::<kmod::Actions>(), Some(std::mem::offset_of!(kmod::Actions, addr))),
    (kmod::IOC_GET_TIMER, size_of::<kmod::Timer>(), None),
    (kmod::IOC_SAVE, size_of::<kmod::Save>(), Some(std::mem::offset_of!(kmod::Save, ranges))),
    (kmod::IOC_CONTINUE, size_of::<kmod::Continue>(), None),
    (kmod::IOC_BECOME_RESTORER, size_of::<kmod::Restorer>(), None),
    (kmod::IOC_GET_POLICY, size_of::<kmod::Policy>(), None),
];

/// What the module may say to a bad request.
const KNOWN: &[i32] = &[
    libc::ENOTTY,
    libc::EINVAL,
    libc::E2BIG,
    libc::EFAULT,
    libc::ESRCH,
    libc::EPERM,
    libc::EDEADLK,
    libc::EALREADY,
    libc::EBUSY,
    libc::EOPNOTSUPP,
    libc::ETIMEDOUT,
    libc::ENOENT,
    libc::ENODEV,
    libc::EAGAIN,
    libc::ENOMEM,
    libc::EBADF,
];

/// A generator of numbers that can be told to begin anywhere (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Throws requests for so long.
pub fn run(time: Duration, seed: u64) -> Result<()> {
    let mut numbers = Numbers(seed | 1);
    let end = Instant::now() + time;
    let (mut made, mut granted) = (0u64, 0u64);
    while Instant::now() < end {
        let (one, two) = round(&mut numbers)?;
        (made, granted) = (made + one, granted + two);
    }
    println!("# seed {seed}: {made} requests, {granted} granted");
    ensure!(granted > 0, "no request was granted: nothing was tried");
    Ok(())
}

/// Two targets, a session each of ours and many requests; then both targets have to run on.
fn round(numbers: &mut Numbers) -> Result<(u64, u64)> {
    const REQUESTS_IN_A_ROUND: usize = 400;
    let targets = [Living::new("count")?, Living::new("threads")?];
    let mut sessions = [open()?, open()?];
    let file = File::from(memfd_create("kmod-test", MemfdFlags::CLOEXEC)?);
    let mapped = targets.iter().map(|target| mapped(target.pid())).collect::<Result<Vec<_>>>()?.concat();
    // Room for the largest answer.
    let mut room = vec![0u8; 256 << 10];
    let good = room.as_mut_ptr() as u64;
    let pids = [targets[0].pid(), targets[1].pid(), targets[1].pid() + 1, 0, -1, 1, 2, i32::MAX];
    let mut granted = 0;
    for _ in 0..REQUESTS_IN_A_ROUND {
        if numbers.below(50) == 0 {
            let which = numbers.below(2);
            sessions[which] = open()?;
        }
        let (nr, size, address) = numbers.pick(REQUESTS);
        let mut words = [0u64; 512];
        for word in &mut words[..size.div_ceil(8)] {
            *word = match numbers.below(4) {
                0 => numbers.next(),
                1 => numbers.next() & 0xff,
                _ => 0,
            };
        }
        let told = match numbers.below(8) {
            0 => numbers.next() as u32,
            1 => numbers.below(8192) as u32,
            _ => size as u32,
        };
        let pid = numbers.pick(&pids);
        // The size, and what is a PID or TID in all of them.
        words[0] = u64::from(told) | u64::from(pid as u32) << 32;
        if nr == kmod::IOC_FREEZE {
            // Flags that are known, and not much patience.
            words[1] = numbers.below(4) as u64 | (numbers.below(30) as u64) << 32;
            words[2] = if numbers.below(8) == 0 { numbers.next() } else { 0 };
        }
        if let Some(at) = address {
            // The kernel's half, what is not mapped, and our own room.
            words[at / 8] = numbers.pick(&[0, 8, good, good, good, 0xffff_8880_0000_0000, u64::MAX]);
            // The length, or how many, stands behind it.
            words[at / 8 + 1] = numbers.below(1024) as u64;
        }
        if nr == kmod::IOC_SAVE {
            // A file and some ranges, which stand where the answer goes.
            let fd = numbers.pick(&[file.as_raw_fd(), file.as_raw_fd(), file.as_raw_fd(), -1, 0, 1]);
            let count = numbers.pick(&[0, 1, 1, 2, 3, 255, 256, 257, 1024]);
            words[1] = u64::from(fd as u32) | (count as u64) << 32;
            for range in room.chunks_exact_mut(16).take(count) {
                let from = numbers.pick(&mapped) + numbers.pick(&[0, 0, 0, 0, 4096, 8192, 1]);
                let len = numbers.pick(&[4096u32, 4096, 8192, 65536, 0, 1]);
                let flags = numbers.pick(&[0u32, 0, 0, kmod::RANGE_ZEROS, kmod::RANGE_ZEROS, 2]);
                range[..8].copy_from_slice(&from.to_ne_bytes());
                range[8..12].copy_from_slice(&len.to_ne_bytes());
                range[12..].copy_from_slice(&flags.to_ne_bytes());
            }
            words[3] = numbers.pick(&[good + 65536, good + 65536, good, 0, 0xffff_8880_0000_0000, u64::MAX]);
        }
        let nr = if numbers.below(64) == 0 { numbers.next() as u32 as libc::Ioctl } else { nr };
        let file = &sessions[numbers.below(2)];
        // SAFETY: the argument is longer than any structure that the module knows, and its addresses are those of our room, which is larger than
        // any answer to the lengths above, or of no memory of ours.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), nr, words.as_mut_ptr()) };
        if result >= 0 {
            granted += 1;
        } else {
            let err = std::io::Error::last_os_error();
            let known = err.raw_os_error().is_some_and(|errno| KNOWN.contains(&errno));
            ensure!(known, "{nr:#x}, size {told}, pid {pid}: {err}, which is not documented");
        }
    }
    drop(sessions);
    targets.iter().try_for_each(Living::runs_on).context("after a round")?;
    // The module still does what it should.
    let device = Device::open()?;
    device.freeze(targets[1].pid(), 0, Duration::from_secs(20))?;
    device.thread(targets[1].pid())?;
    device.thaw(targets[1].pid())?;
    Ok((REQUESTS_IN_A_ROUND as u64, granted))
}

/// Where a process has memory.
fn mapped(pid: i32) -> Result<Vec<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let starts = maps.lines().filter_map(|line| line.split_once('-'));
    starts.map(|(start, _)| u64::from_str_radix(start, 16).context("an address")).collect()
}

fn open() -> Result<File> {
    File::options().read(true).write(true).open(DEVICE).with_context(|| format!("open {DEVICE}"))
}
