//! io_uring(7): a ring without requests in flight.
//!
//! Its counters are the kernel's own, and programs have copies of them: a restart makes a ring and
//! lets it do as many requests that do nothing as it had done, 20 million a second.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::{Identity, Kind, Made, Once, Verbs, Way, table};
use crate::activity;
use crate::error::{Context, Error, Problem, Problems, Result};
use crate::proc::fdinfo::FdInfo;
use crate::resource::bytes::Bytes;
use crate::sys::io_uring::{Counters, Offsets, Ring, Sizes, is_elsewhere, is_enabled};
use crate::sys::task::Seen;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;

/// A ring.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoUring {
    /// Entries of the submission queue and of the completion queue.
    pub sizes: (u32, u32),
    /// Where the kernel has put the words of the submission queue and of the completion queue.
    pub offsets: ([u32; 7], [u32; 7]),
    /// Requests that the kernel has taken, and that are in the queue as well.
    pub submitted: (u32, u32),
    /// Completions that the kernel has made, and those of them that were taken.
    pub completed: (u32, u32),
    /// Both queues.
    pub rings: Bytes,
    /// The entries of the submission queue.
    pub requests: Bytes,
    /// Whether it cannot be used before it is enabled (`IORING_SETUP_R_DISABLED`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
}

/// The name in /proc of a descriptor and of a mapping.
pub const NAME: &[u8] = b"anon_inode:[io_uring]";

/// Offsets at which mappings begin: `IORING_OFF_SQ_RING`, `IORING_OFF_CQ_RING`, `IORING_OFF_SQES`.
pub const BEGINNINGS: [u64; 3] = [0, 0x800_0000, 0x1000_0000];

/// `IORING_SQ_NEED_WAKEUP`, `IORING_SQ_CQ_OVERFLOW` and `IORING_SQ_TASKRUN`.
const PENDING: u32 = 0b111;

/// `IORING_MAX_ENTRIES`, io_uring/io_uring.c; completions may be twice as many.
const MOST: u32 = 1 << 15;

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.link.0 == NAME).then(|| Ok(Kind::IoUring(IoUring::default())))
}

/// What a ring has that is not saved, by what its descriptor shows.
fn refusal(info: &FdInfo) -> Option<&'static str> {
    let number = |name: &str| info.field(name).and_then(|value| value.parse::<i64>().ok());
    let is_some = |name: &str| number(name).is_some_and(|count| count > 0);
    if is_some("SqThread") {
        return Some("has a kernel thread that polls it (IORING_SETUP_SQPOLL); end it first");
    }
    if is_some("UserFiles") || is_some("UserBufs") {
        return Some("has registered files or buffers; unregister them first");
    }
    if info.beginning("Personalities").next().is_some_and(|_| info.beginning("  ").any(is_personality)) {
        return Some("has registered credentials (IORING_REGISTER_PERSONALITY); unregister them first");
    }
    if info.field("NAPI").is_some_and(|napi| napi != "disabled") {
        return Some("polls network devices (NAPI); switch that off first");
    }
    None
}

/// A line of `io_uring_show_cred`: a number, and no `op=` or `user_data=`.
fn is_personality(line: &str) -> bool {
    line.trim_start().split(['\t', ' ', ':']).next().is_some_and(|word| word.parse::<u32>().is_ok())
}

/// What a ring waits for, by what its descriptor shows.
fn hindrance(info: &FdInfo) -> Option<&'static str> {
    if info.beginning("  op=").next().is_some() {
        return Some("waits for descriptors to become ready; cancel that first");
    }
    let overflow = info.beginning("  user_data=").next().is_some();
    overflow.then_some("has more completions than its queue holds; take them first")
}

/// The descriptors of rings that a process has.
///
/// # Errors
/// *vanished*
pub fn descriptors_of(process: Seen) -> Result<Vec<Descriptor>> {
    let all =
        table::numbers(process.by)?.into_iter().map(|fd| Descriptor { process, fd, flags: libc::O_RDWR });
    Ok(all.filter(|descriptor| descriptor.name().0 == NAME).collect())
}

/// Whether a ring, on this inode, has it for itself: otherwise it is that of all anonymous inodes.
///
/// # Errors
/// What the kernel reports.
pub fn has_own_inode(inode: u64) -> Result<bool> {
    let what = || "look at the inode of an eventfd";
    let other = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).context(what)?;
    Ok(rustix::fs::fstat(&other).context(what)?.st_ino != inode)
}

/// Rings of a process that have requests in flight, which the kernel goes on with.
///
/// # Errors
/// *vanished*; what the kernel reports.
pub fn in_flight(process: Seen) -> Result<Problems> {
    let mut problems = Problems { reasons: Vec::new(), lasting: false };
    for descriptor in descriptors_of(process)? {
        // What cannot be looked at is refused when it is captured.
        let Ok((ring, _)) = Ring::of(descriptor.duplicate()?) else { continue };
        if is_busy(&ring) {
            problems.reasons.push(Problem::of(descriptor.at(), format!(" is an io_uring that {BUSY}")));
        }
    }
    Ok(problems)
}

/// Whether a ring has requests in flight, or seems to.
fn is_busy(ring: &Ring) -> bool {
    let Counters { submitted, completed, .. } = ring.counters();
    ring.flags() & PENDING != 0 || submitted != completed
}

const BUSY: &str = "has requests in flight, or has had some without a completion or with several; let it finish, or make a new one";

impl Verbs for IoUring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn keeps_offset(&self) -> bool {
        false
    }

    fn capture(&mut self, descriptors: &[Descriptor], _all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let what = || format!("{}: read the state of an io_uring", descriptor.at());
        let problem = |why: &str| Problem::of(descriptor.at(), format!(" is an io_uring that {why}"));
        let info = descriptor.info()?;
        if let Some(why) = refusal(&info) {
            return Err(Error::unsupported(problem(why)));
        }
        if let Some(why) = hindrance(&info) {
            return Err(Error::unsupported_now(problem(why)));
        }
        let fd = descriptor.duplicate()?;
        let (ring, sizes) = match Ring::of(fd.try_clone().context(what)?) {
            Err(err) if is_elsewhere(&err) => {
                let why =
                    "has the memory of its program as queues (IORING_SETUP_NO_MMAP); make it without that";
                return Err(Error::unsupported(problem(why)));
            }
            ring => ring.context(what)?,
        };
        let Counters { submitted, queued, completed, seen } = ring.counters();
        if is_busy(&ring) {
            return Err(Error::unsupported_now(problem(BUSY)));
        }
        let disabled = !is_enabled(fd.as_fd()).context(what)?;
        if disabled && (submitted, completed, seen) != (0, 0, 0) {
            let why = "is not enabled yet (IORING_SETUP_R_DISABLED), and has counters that the kernel has not set; enable it first";
            return Err(Error::unsupported(problem(why)));
        }
        let Offsets { submission, completion } = ring.offsets();
        let (rings, requests) = ring.contents();
        *self = IoUring {
            sizes: (sizes.submission, sizes.completion),
            offsets: (submission, completion),
            submitted: (submitted, queued),
            completed: (completed, seen),
            rings: Bytes(rings),
            requests: Bytes(requests),
            disabled,
        };
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        let (submission, completion) = self.sizes;
        let sized = submission.is_power_of_two()
            && completion.is_power_of_two()
            && submission <= MOST
            && completion <= 2 * MOST
            && submission <= completion;
        let within = |(to, from): (u32, u32), most: u32| to.wrapping_sub(from) <= most;
        let (taken, queued) = self.submitted;
        let counted = self.submitted.0 == self.completed.0
            && !(self.disabled && (taken, self.completed) != (0, (0, 0)))
            && within((queued, taken), submission)
            && within(self.completed, completion);
        let begin = self.offsets.1[5] as usize;
        let whole = self.requests.0.len() == submission as usize * 64
            && self.rings.0.len() >= begin + completion as usize * 16
            && self.rings.0.len().is_multiple_of(4);
        if sized && counted && whole { Ok(()) } else { Err("invalid io_uring".into()) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let (submission, completion) = self.sizes;
        activity::say_long(|| format!("make an io_uring that has done {} requests", self.submitted.0));
        let ring = match Ring::new(Sizes { submission, completion }, !self.disabled) {
            Err(err) if err.raw_os_error() == Some(libc::EPERM) => {
                return Err(Error::Conflict(
                    "io_uring is switched off here (kernel.io_uring_disabled); allow it by sysctl(8)".into(),
                ));
            }
            ring => ring.context(|| "make an io_uring")?,
        };
        let Offsets { submission, completion } = ring.offsets();
        if self.offsets != (submission, completion) {
            return Err(Error::Conflict(
                "this kernel lays out io_uring in another way than that of the checkpoint; restart on that"
                    .into(),
            ));
        }
        let to = Counters {
            submitted: self.submitted.0,
            queued: self.submitted.1,
            completed: self.completed.0,
            seen: self.completed.1,
        };
        ring.fill(to, &self.rings.0, &self.requests.0).context(|| "set the state of an io_uring")?;
        Ok(Box::new(Once::new(ring.into_fd())))
    }
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "ring-completions-lost",
        what: "completions that were not taken are lost",
        commit: |r| each(r, |ring| ring.completed.1 = ring.completed.0),
    },
    crate::resource::fault::Fault {
        name: "ring-starts-anew",
        what: "the counters of rings begin at 0",
        commit: |r| each(r, |ring| (ring.submitted, ring.completed) = ((0, 0), (0, 0))),
    },
    crate::resource::fault::Fault {
        name: "ring-requests-lost",
        what: "requests that were queued are lost",
        commit: |r| each(r, |ring| ring.requests.0.fill(0)),
    },
    crate::resource::fault::Fault {
        name: "ring-enabled",
        what: "rings that are not enabled are",
        commit: |r| each(r, |ring| ring.disabled = false),
    },
    crate::resource::fault::Fault {
        name: "ring-mappings-swapped",
        what: "of several rings, each is mapped where another was",
        commit: swap_mappings,
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut IoUring)) {
    for inode in &mut records.inodes {
        if let Kind::IoUring(ring) = &mut inode.kind {
            change(ring);
        }
    }
}

#[cfg(feature = "planted-faults")]
fn swap_mappings(records: &mut crate::resource::Records) {
    use crate::resource::{mm::vma::Backing, process::Life};
    let crate::resource::Records { processes, files, inodes, .. } = records;
    for process in processes {
        let Life::Alive(alive) = &mut process.life else { continue };
        let mapped = alive.memory.vmas.iter_mut().filter_map(|vma| match &mut vma.backing {
            Backing::File { file, .. } => Some(file),
            _ => None,
        });
        let rings = mapped.filter(|file| matches!(inodes[files[**file].inode].kind, Kind::IoUring(_)));
        let mut rings: Vec<_> = rings.collect();
        let reversed: Vec<usize> = rings.iter().rev().map(|file| **file).collect();
        rings.iter_mut().zip(reversed).for_each(|(file, other)| **file = other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn info(text: &str) -> FdInfo {
        FdInfo::parse(format!("pos:\t0\nflags:\t02000002\n{text}\n")).unwrap()
    }

    #[rstest]
    #[case("SqThread:\t-1\nUserFiles:\t0\nUserBufs:\t0\nPollList:\nCqOverflowList:\nNAPI:\tdisabled", None)]
    #[case("SqThread:\t17", Some("kernel thread"))]
    #[case("SqThread:\t-1\nUserFiles:\t2", Some("registered files"))]
    #[case("UserBufs:\t1\n    0: 0x7f00/4096", Some("registered files or buffers"))]
    #[case("Personalities:\n    3\n\t\tUid:\t\t0", Some("credentials"))]
    #[case("NAPI:\tenabled", Some("network"))]
    fn what_a_descriptor_shows_is_refused(#[case] text: &str, #[case] words: Option<&str>) {
        let why = refusal(&info(text));
        assert_eq!(why.is_some(), words.is_some(), "{why:?}");
        assert!(words.is_none_or(|words| why.unwrap().contains(words)), "{why:?}");
    }

    #[test]
    fn a_ring_has_its_counters_and_contents_again() {
        let sizes = Sizes { submission: 4, completion: 16 };
        let Ok(first) = Ring::new(sizes, true) else { return eprintln!("skipped: no io_uring here") };
        let none = Counters { submitted: 0, queued: 0, completed: 0, seen: 0 };
        let (rings, sqes) = first.contents();
        first.fill(none, &rings, &sqes).unwrap();
        let to = Counters { submitted: 1003, queued: 1005, completed: 1003, seen: 992 };
        let (mut rings, mut sqes) = first.contents();
        let begin = first.offsets().completion[5] as usize;
        rings[begin..].iter_mut().zip((0u8..=255).cycle()).for_each(|(byte, value)| *byte = value);
        sqes.iter_mut().zip((0u8..=255).cycle()).for_each(|(byte, value)| *byte = value);
        let second = Ring::new(sizes, true).unwrap();
        second.fill(to, &rings, &sqes).unwrap();
        assert_eq!(second.counters(), to);
        let (found, requests) = second.contents();
        assert_eq!((&found[begin..], requests), (&rings[begin..], sqes));
        let (again, seen) = Ring::of(second.into_fd()).unwrap();
        assert_eq!((seen, again.counters()), (sizes, to));
        assert!(is_enabled(again.into_fd().as_fd()).unwrap());
    }

    #[test]
    fn a_ring_that_is_not_enabled_has_requests_in_its_queue() {
        let sizes = Sizes { submission: 4, completion: 8 };
        let Ok(first) = Ring::new(sizes, false) else { return eprintln!("skipped: no io_uring here") };
        let to = Counters { submitted: 0, queued: 3, completed: 0, seen: 0 };
        let (rings, mut sqes) = first.contents();
        sqes.iter_mut().zip((0u8..=255).cycle()).for_each(|(byte, value)| *byte = value);
        first.fill(to, &rings, &sqes).unwrap();
        assert_eq!((first.counters(), first.contents().1), (to, sqes));
        assert!(!is_enabled(first.into_fd().as_fd()).unwrap());
    }
}
