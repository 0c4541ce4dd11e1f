//! Random requests with the structure of requests: valid and invalid sizes, PIDs that exist or not,
//! frozen or not, addresses that are writable or not.

use super::child::Living;
use anyhow::{Context, Result, ensure};
use cairn_kmod_abi::{self as abi, DEVICE, Device};
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Number of an ioctl, size of its structure, offset of an address in it.
const REQUESTS: &[(libc::Ioctl, usize, Option<usize>)] = &[
    (abi::IOC_GET_INFO, size_of::<abi::Info>(), None),
    (abi::IOC_FREEZE, size_of::<abi::Freeze>(), None),
    (abi::IOC_THAW, size_of::<abi::Thaw>(), None),
    (abi::IOC_GET_THREAD, size_of::<abi::Thread>(), None),
    (abi::IOC_GET_REGSET, size_of::<abi::Regset>(), Some(std::mem::offset_of!(abi::Regset, addr))),
    (abi::IOC_GET_PENDING, size_of::<abi::Pending>(), Some(std::mem::offset_of!(abi::Pending, addr))),
    (abi::IOC_GET_PROCESS, size_of::<abi::Process>(), None),
    (abi::IOC_GET_ACTIONS, size_of::<abi::Actions>(), Some(std::mem::offset_of!(abi::Actions, addr))),
    (abi::IOC_GET_TIMER, size_of::<abi::Timer>(), None),
    (abi::IOC_SAVE, size_of::<abi::Save>(), Some(std::mem::offset_of!(abi::Save, ranges))),
    (abi::IOC_CONTINUE, size_of::<abi::Continue>(), None),
    (abi::IOC_GET_CAPABILITY, size_of::<abi::Capability>(), None),
    (abi::IOC_GET_POLICY, size_of::<abi::Policy>(), None),
];

/// Documented errors.
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

/// A seeded generator of random numbers (xorshift64*).
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

/// Sends random requests for this time.
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

/// Sends many requests on two sessions with two targets; then both targets must run on.
fn round(numbers: &mut Numbers) -> Result<(u64, u64)> {
    const REQUESTS_IN_A_ROUND: usize = 400;
    let targets = [Living::new("count")?, Living::new("threads")?];
    let mut sessions = [open()?, open()?];
    let file = File::from(memfd_create("kmod-test", MemfdFlags::CLOEXEC)?);
    let mapped = targets.iter().map(|target| mapped(target.pid())).collect::<Result<Vec<_>>>()?.concat();
    // Larger than any answer.
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
        // The size, and the PID or TID, which every structure has next.
        words[0] = u64::from(told) | u64::from(pid as u32) << 32;
        if nr == abi::IOC_FREEZE {
            // Known flags, and a short timeout.
            words[1] = numbers.below(4) as u64 | (numbers.below(30) as u64) << 32;
            words[2] = if numbers.below(8) == 0 { numbers.next() } else { 0 };
        }
        if let Some(at) = address {
            // Kernel addresses, unmapped ones, and the buffer.
            words[at / 8] = numbers.pick(&[0, 8, good, good, good, 0xffff_8880_0000_0000, u64::MAX]);
            // The length, or the number of elements, follows it.
            words[at / 8 + 1] = numbers.below(1024) as u64;
        }
        if nr == abi::IOC_SAVE {
            // A file and some ranges, in the buffer.
            let fd = numbers.pick(&[file.as_raw_fd(), file.as_raw_fd(), file.as_raw_fd(), -1, 0, 1]);
            let count = numbers.pick(&[0, 1, 1, 2, 3, 255, 256, 257, 1024]);
            words[1] = u64::from(fd as u32) | (count as u64) << 32;
            for range in room.chunks_exact_mut(16).take(count) {
                let from = numbers.pick(&mapped) + numbers.pick(&[0, 0, 0, 0, 4096, 8192, 1]);
                let len = numbers.pick(&[4096u32, 4096, 8192, 65536, 0, 1]);
                let flags = numbers.pick(&[0u32, 0, 0, abi::RANGE_ZEROS, abi::RANGE_ZEROS, 2]);
                range[..8].copy_from_slice(&from.to_ne_bytes());
                range[8..12].copy_from_slice(&len.to_ne_bytes());
                range[12..].copy_from_slice(&flags.to_ne_bytes());
            }
            words[3] = numbers.pick(&[good + 65536, good + 65536, good, 0, 0xffff_8880_0000_0000, u64::MAX]);
        }
        let nr = if numbers.below(64) == 0 { numbers.next() as u32 as libc::Ioctl } else { nr };
        let file = &sessions[numbers.below(2)];
        // SAFETY: the argument is longer than any structure of the module. Its addresses are in
        // the buffer, which is larger than any answer to the lengths above, or in no memory of
        // this process.
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
    // The module still works.
    let device = Device::open()?;
    device.freeze(targets[1].pid(), 0, Duration::from_secs(20))?;
    device.thread(targets[1].pid())?;
    device.thaw(targets[1].pid())?;
    Ok((REQUESTS_IN_A_ROUND as u64, granted))
}

/// Start addresses of the mappings of a process.
fn mapped(pid: i32) -> Result<Vec<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let starts = maps.lines().filter_map(|line| line.split_once('-'));
    starts.map(|(start, _)| u64::from_str_radix(start, 16).context("an address")).collect()
}

fn open() -> Result<File> {
    File::options().read(true).write(true).open(DEVICE).with_context(|| format!("open {DEVICE}"))
}
