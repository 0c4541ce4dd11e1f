//! epoll_create1(2): which files are watched, for which events, under which numbers.

use super::description::{Descriptions, Descriptor};
use super::inode::Observed;
use super::table::{self, Fd};
use super::{Holder, Identity, Kind, Made, Once, Programs, Reference, Restored, Verbs, Way};
use crate::error::{Context, Error, External, Problem, Result};
use crate::remote::{Arg, Program};
use crate::sys::file::{EPIOCSPARAMS, epoll_params};
use crate::sys::kcmp::EpollTarget;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The state of an epoll instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoll {
    /// The interest list.
    pub watches: Vec<Watch>,
    /// How it polls network devices (`EPIOCSPARAMS`, Linux 6.9); `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Params>,
}

/// `struct epoll_params`, include/uapi/linux/eventpoll.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// For how long to poll network devices, in microseconds.
    pub busy_poll_usecs: u32,
    /// Packets at a time.
    pub busy_poll_budget: u16,
    /// Whether to prefer polling to interrupts.
    pub prefer_busy_poll: u8,
}

/// An entry of the interest list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The descriptor number it was added with, which may be closed or of another file by now.
    pub fd: i32,
    /// Index of the open file description.
    pub file: usize,
    /// `EPOLL*`
    pub events: u32,
    /// What epoll_wait(2) returns with an event.
    pub data: u64,
}

pub(super) fn recognise(seen: &Observed<'_>) -> Option<Result<Kind>> {
    (seen.link.0 == b"anon_inode:[eventpoll]").then(|| Ok(Kind::Epoll(Epoll::default())))
}

impl Verbs for Epoll {
    fn name(&self) -> &'static str {
        "epoll instance"
    }

    fn identity(&self) -> Identity {
        Identity::Description
    }

    fn refers_to(&self) -> Vec<Reference> {
        self.watches.iter().map(|watch| Reference::File(watch.file)).collect()
    }

    fn numbers(&self) -> Vec<i32> {
        self.watches.iter().map(|watch| watch.fd).collect()
    }

    fn capture(&mut self, descriptors: &[Descriptor], all: &Descriptions<'_>) -> Result<()> {
        let descriptor = Descriptor::only(descriptors);
        let unknown = || Error::unsupported(format!("{}: cannot read its epoll instance", descriptor.at()));
        // How many were added with the same number, of files that have been closed but for one.
        let mut met: HashMap<i32, u32> = HashMap::new();
        for line in descriptor.info()?.lines("tfd") {
            let (fd, events, data, ino) = parse(line).ok_or_else(unknown)?;
            let nth = met.entry(fd).or_default();
            let target = EpollTarget { epoll: descriptor.fd as u32, fd: fd as u32, nth: *nth };
            *nth += 1;
            let found = all.find_watched(descriptor.process, fd, ino, target);
            let found = found.context(|| format!("{}: find the file watched as fd {fd}", descriptor.at()))?;
            let Some(file) = found else {
                let why = format!(
                    " is an epoll instance that watches a file which cannot be saved, or which no descriptor of the job leads to (added as fd {fd}); remove it from there first"
                );
                return Err(Error::unsupported(Problem::external(descriptor.at(), External::OpenFile, why)));
            };
            if events & EVENTS == 0 {
                let why = format!(
                    " is an epoll instance with a one-shot watch (fd {fd}) that was reported and not armed again: no system call adds one that reports nothing; arm it or remove it first"
                );
                return Err(Error::unsupported_now(Problem::of(descriptor.at(), why)));
            }
            self.watches.push(Watch { fd, file, events, data });
        }
        // The kernel keeps them by the addresses of the files.
        self.watches.sort_unstable_by_key(|watch| (watch.fd, watch.file));
        let params = epoll_params(&descriptor.duplicate()?);
        let params = params.context(|| format!("{}: read its parameters", descriptor.at()))?;
        self.params = Params::decode(params);
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        let fits = |watch: &Watch| (0..1 << 30).contains(&watch.fd);
        if self.watches.iter().all(fits) { Ok(()) } else { Err("a watch of an epoll instance".into()) }
    }

    fn make(&self, _way: &Way<'_>) -> Result<Box<dyn Made>> {
        let fd = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC);
        Ok(Box::new(Once::new(fd.context(|| "make epoll instance")?)))
    }

    /// Adds each watch in a process that has the file under the same number, or else in one that
    /// has it under another: a watch is identified by its file and the number it was added with.
    fn late(&self, file: usize, job: &Restored<'_>, programs: &mut Programs) -> Result<(), String> {
        let holders = job.holders.of(file);
        let refuse = |what: String| {
            let Holder { pid, fd, .. } = holders[0];
            Err(format!("pid {pid}: fd {} is an epoll instance {what}", fd.fd))
        };
        if let Some(params) = &self.params {
            params.set(holders[0].fd.fd, programs.of(holders[0].pid));
        }
        for watch in &self.watches {
            if holders.len() > 1 && job.verbs(watch.file).depends_on_watcher() {
                return refuse(format!(
                    "of several processes that watches a {} (added as fd {}): for whose signals, the kernel does not show; let each process have its own",
                    job.verbs(watch.file).name(),
                    watch.fd
                ));
            }
            let has_it = |holder: &&Holder<'_>| {
                table::find(holder.table, watch.fd).is_some_and(|fd| fd.file == watch.file)
            };
            // Another number of the file in a process with the instance.
            let elsewhere = || {
                let others = job.holders.of(watch.file).iter();
                let mut pairs = others.filter_map(|other| {
                    Some((holders.iter().find(|holder| holder.pid == other.pid)?, other.fd.fd))
                });
                pairs.next()
            };
            if let Some(holder) = holders.iter().find(has_it) {
                watch.add(holder.fd.fd, programs.of(holder.pid));
            } else if let Some((holder, number)) = elsewhere() {
                watch.add_as_another(holder, number, programs.of(holder.pid));
            } else {
                return refuse(format!(
                    "that watches a file which only other processes have (added as fd {}); remove it from there first",
                    watch.fd
                ));
            }
        }
        Ok(())
    }
}

impl Params {
    /// `None` for the default.
    fn decode(bytes: [u8; 8]) -> Option<Params> {
        let [a, b, c, d, e, f, prefer_busy_poll, _] = bytes;
        (bytes != [0; 8]).then(|| Params {
            busy_poll_usecs: u32::from_ne_bytes([a, b, c, d]),
            busy_poll_budget: u16::from_ne_bytes([e, f]),
            prefer_busy_poll,
        })
    }

    fn set(&self, epoll: i32, program: &mut Program) {
        let mut bytes = self.busy_poll_usecs.to_ne_bytes().to_vec();
        bytes.extend(self.busy_poll_budget.to_ne_bytes());
        bytes.extend([self.prefer_busy_poll, 0]);
        let data = program.bytes(bytes);
        let args: [Arg; 3] = [epoll.into(), EPIOCSPARAMS.into(), data.into()];
        program.call_ok(libc::SYS_ioctl, &args, format!("set parameters of epoll fd {epoll}"));
    }
}

impl Watch {
    fn add(&self, epoll: i32, program: &mut Program) {
        let event = program.bytes(event(self.events, self.data));
        let args: [Arg; 4] = [epoll.into(), libc::EPOLL_CTL_ADD.into(), self.fd.into(), event.into()];
        program.call_ok(libc::SYS_epoll_ctl, &args, format!("watch fd {} by epoll fd {epoll}", self.fd));
    }

    /// Has the file at its number for the duration of the call.
    fn add_as_another(&self, holder: &Holder<'_>, number: i32, program: &mut Program) {
        let close = |fd: i32, program: &mut Program| {
            program.call_ok(libc::SYS_close, &[fd.into()], format!("close fd {fd}"));
        };
        match table::find(holder.table, self.fd) {
            None => {
                table::place(number, self.fd, false, program);
                self.add(holder.fd.fd, program);
                close(self.fd, program);
            }
            Some(Fd { cloexec, .. }) => {
                let spare = table::lowest_free(holder.table);
                // The epoll instance itself may be what has the number.
                let epoll = if holder.fd.fd == self.fd { spare } else { holder.fd.fd };
                table::place(self.fd, spare, false, program);
                table::place(number, self.fd, false, program);
                self.add(epoll, program);
                table::place(spare, self.fd, *cloexec, program);
                close(spare, program);
            }
        }
    }
}

/// All but `EP_PRIVATE_BITS` of fs/eventpoll.c: what remains of a one-shot watch is without events,
/// while `EPOLL_CTL_ADD` and `EPOLL_CTL_MOD` add `EPOLLERR` and `EPOLLHUP`.
const EVENTS: u32 = 0x0fff_ffff;

/// Number, events, data and inode number of a watch: `5 events: 19 data: 5  pos:0 ino:61af sdev:7`
/// (fs/eventpoll.c, `ep_show_fdinfo`).
fn parse(line: &str) -> Option<(i32, u32, u64, u64)> {
    let mut words = line.split_whitespace();
    let fd = words.next()?.parse().ok()?;
    let mut hex = |name: &str| (words.next()? == name).then(|| words.next()).flatten();
    let events = u32::from_str_radix(hex("events:")?, 16).ok()?;
    let data = u64::from_str_radix(hex("data:")?, 16).ok()?;
    let ino = words.find_map(|word| word.strip_prefix("ino:"))?;
    Some((fd, events, data, u64::from_str_radix(ino, 16).ok()?))
}

/// `struct epoll_event`: packed on x86-64 (include/uapi/linux/eventpoll.h, `EPOLL_PACKED`).
fn event(events: u32, data: u64) -> Vec<u8> {
    let mut bytes = events.to_ne_bytes().to_vec();
    bytes.resize(size_of::<libc::epoll_event>() - size_of::<u64>(), 0);
    bytes.extend(data.to_ne_bytes());
    bytes
}

#[cfg(feature = "planted-faults")]
pub(super) const FAULTS: &[crate::resource::fault::Fault] = &[
    crate::resource::fault::Fault {
        name: "epoll-watch-lost",
        what: "the last file that an epoll instance watches is not watched",
        commit: |r| {
            each(r, |epoll| {
                epoll.watches.pop();
            });
        },
    },
    crate::resource::fault::Fault {
        name: "epoll-data-lost",
        what: "the data words of epoll instances are descriptor numbers",
        commit: |r| each(r, |epoll| epoll.watches.iter_mut().for_each(|watch| watch.data = watch.fd as u64)),
    },
];

#[cfg(feature = "planted-faults")]
fn each(records: &mut crate::resource::Records, change: impl Fn(&mut Epoll)) {
    for inode in &mut records.inodes {
        if let Kind::Epoll(epoll) = &mut inode.kind {
            change(epoll);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Holders;
    use super::super::description::OpenFile;
    use super::super::inode::Inode;
    use super::*;
    use crate::resource::Records;

    #[test]
    fn a_watch_is_read_as_the_kernel_prints_it() {
        let line = "        5 events:       19 data: ffffffff00000005  pos:0 ino:61af sdev:7";
        assert_eq!(parse(line), Some((5, 0x19, 0xffff_ffff_0000_0005, 0x61af)));
        assert_eq!(parse("5 events: x"), None);
    }

    /// Files 0 to 9, of pipes but for number 4, a signalfd.
    fn records() -> Records {
        let file = |inode| OpenFile { inode, flags: libc::O_RDWR, offset: 0, owner: None, locks: Vec::new() };
        let inode = |kind| Inode { path: Default::default(), kind, identity: None, unlinked: None };
        let kind = |index| match index {
            4 => Kind::Signalfd(Default::default()),
            _ => Kind::Pipe(Default::default()),
        };
        Records {
            root: 70,
            host: String::new(),
            clocks: None,
            processes: vec![],
            files: (0..10).map(file).collect(),
            inodes: (0..10).map(|index| inode(kind(index))).collect(),
            sysv: vec![],
            cgroups: vec![],
            shared: vec![],
        }
    }

    /// The late calls of an epoll instance, file 0, that these have.
    fn late(epoll: &Epoll, holders: &[Holder<'_>]) -> Result<Programs, String> {
        let records = records();
        let others = holders.iter().flat_map(|holder| {
            let others = holder.table.iter().filter(|fd| fd.file != 0);
            others.map(|fd| Holder { fd, ..*holder })
        });
        let holders = Holders::new(holders.iter().copied().chain(others).collect());
        let job = Restored { records: &records, holders };
        let mut programs = Programs::default();
        epoll.late(0, &job, &mut programs)?;
        Ok(programs)
    }

    #[test]
    fn a_signalfd_is_not_watched_for_several_processes() {
        let table = [Fd { fd: 3, file: 0, cloexec: true }, Fd { fd: 5, file: 4, cloexec: true }];
        let holder = |pid| Holder { pid, fd: &table[0], table: &table };
        let watches = vec![Watch { fd: 5, file: 4, events: 1, data: 0 }];
        let epoll = Epoll { watches, params: None };
        late(&epoll, &[holder(70)]).unwrap();
        let why = late(&epoll, &[holder(70), holder(71)]).unwrap_err();
        assert!(why.contains("watches a signalfd (added as fd 5)"), "{why}");
    }

    #[test]
    fn a_file_that_only_others_have_cannot_be_watched() {
        let table = [Fd { fd: 3, file: 0, cloexec: true }];
        let holder = Holder { pid: 70, fd: &table[0], table: &table };
        let watches = vec![Watch { fd: 9, file: 1, events: 1, data: 0 }];
        let why = late(&Epoll { watches, params: None }, &[holder]);
        assert!(why.unwrap_err().contains("pid 70: fd 3 is an epoll instance"));
    }

    #[test]
    fn a_number_of_another_file_is_borrowed() {
        let table = [
            Fd { fd: 0, file: 9, cloexec: false },
            Fd { fd: 3, file: 0, cloexec: true },
            Fd { fd: 4, file: 1, cloexec: false },
            Fd { fd: 5, file: 2, cloexec: true },
        ];
        let holder = Holder { pid: 70, fd: &table[1], table: &table };
        let watch = |fd, file| Watch { fd, file, events: 1, data: 0 };
        let epoll = Epoll { watches: vec![watch(4, 1), watch(5, 1), watch(7, 2), watch(3, 2)], params: None };
        let mut programs = late(&epoll, &[holder]).unwrap();
        let calls: Vec<&str> = programs.of(70).calls().iter().map(|call| call.what.as_str()).collect();
        insta::assert_debug_snapshot!(calls, @r#"
        [
            "watch fd 4 by epoll fd 3",
            "place fd 1",
            "place fd 5",
            "watch fd 5 by epoll fd 3",
            "place fd 5",
            "close fd 1",
            "place fd 7",
            "watch fd 7 by epoll fd 3",
            "close fd 7",
            "place fd 1",
            "place fd 3",
            "watch fd 3 by epoll fd 1",
            "place fd 3",
            "close fd 1",
        ]
        "#);
    }
}
