//! kcmp(2): do two tasks share a kernel object?

use super::cvt;
use std::cmp::Ordering;
use std::io;

/// What to compare, include/uapi/linux/kcmp.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// Open file descriptions behind two descriptors.
    File = 0,
    /// Address spaces.
    Vm = 1,
    /// Descriptor tables.
    Files = 2,
    /// Root, cwd and umask.
    Fs = 3,
    /// Signal actions.
    Sighand = 4,
    /// System V semaphore undo lists.
    Sysvsem = 6,
}

/// A file that an epoll instance watches: `struct kcmp_epoll_slot`, include/uapi/linux/kcmp.h.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct EpollTarget {
    /// Descriptor of the epoll instance.
    pub epoll: u32,
    /// The number that the file was added with.
    pub fd: u32,
    /// Which of the files added with this number, from 0.
    pub nth: u32,
}

/// Compares the open file description behind descriptor `fd` of `pid1` with a file watched by an
/// epoll instance of `pid2` (`KCMP_EPOLL_TFD`), in the order of [`Kind::File`].
///
/// # Errors
/// As [`kcmp`]; ENOENT when there is no such watch.
pub fn kcmp_watched(pid1: i32, fd: u64, pid2: i32, target: &EpollTarget) -> io::Result<Ordering> {
    const KCMP_EPOLL_TFD: i32 = 7;
    // SAFETY: the kernel reads the struct, which lives through the call.
    let order = cvt(unsafe {
        libc::syscall(libc::SYS_kcmp, pid1, pid2, KCMP_EPOLL_TFD, fd, std::ptr::from_ref(target))
    })?;
    ordering(order)
}

/// Compares by the kernel's own (obfuscated) order of the objects, so that many can be sorted. `a`
/// and `b` are the descriptors for [`Kind::File`], else 0.
///
/// # Errors
/// EBADF for a closed descriptor, ESRCH, EPERM, ENOSYS without `CONFIG_KCMP`.
pub fn kcmp(pid1: i32, pid2: i32, kind: Kind, a: u64, b: u64) -> io::Result<Ordering> {
    // SAFETY: kcmp takes numbers only.
    let order = cvt(unsafe { libc::syscall(libc::SYS_kcmp, pid1, pid2, kind as i32, a, b) })?;
    ordering(order)
}

fn ordering(order: libc::c_long) -> io::Result<Ordering> {
    match order {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        2 => Ok(Ordering::Greater),
        other => Err(io::Error::other(format!("kcmp gave no order: {other}"))),
    }
}

/// A member of a [`Sorted`] set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<T> {
    /// A task that has the object.
    pub pid: i32,
    /// Its descriptor, for [`Kind::File`], else 0.
    pub number: u64,
    /// The caller's data.
    pub value: T,
}

/// A set of kernel objects in kcmp(2) order, each represented by a task that has it: a lookup is a
/// binary search.
#[derive(Debug)]
pub struct Sorted<T = ()> {
    kind: Kind,
    all: Vec<Member<T>>,
    /// Indices of the members in their order, cut into runs so that an insertion moves few of them.
    runs: Vec<Vec<u32>>,
}

/// Where a member is to be inserted: its run, and its place there.
type Place = (usize, usize);

impl<T> Sorted<T> {
    /// Length at which a run is cut in two.
    const LONGEST_RUN: usize = 512;

    /// An empty set.
    pub fn new(kind: Kind) -> Self {
        Sorted { kind, all: Vec::new(), runs: Vec::new() }
    }

    fn place(&self, pid: i32, number: u64) -> io::Result<Result<usize, Place>> {
        self.place_by(|other| kcmp(other.pid, pid, self.kind, other.number, number))
    }

    fn place_by(
        &self,
        mut compare: impl FnMut(&Member<T>) -> io::Result<Ordering>,
    ) -> io::Result<Result<usize, Place>> {
        // The last run that does not begin behind it.
        let run = match self.search(self.runs.len(), |run| self.runs[run][0], &mut compare)? {
            Ok(member) => return Ok(Ok(member)),
            Err(next) => next.saturating_sub(1),
        };
        let Some(members) = self.runs.get(run) else { return Ok(Err((0, 0))) };
        Ok(self.search(members.len(), |at| members[at], &mut compare)?.map_err(|at| (run, at)))
    }

    /// Binary search among `count` members: which one it is, or the place before which it belongs.
    fn search(
        &self,
        count: usize,
        index: impl Fn(usize) -> u32,
        compare: &mut impl FnMut(&Member<T>) -> io::Result<Ordering>,
    ) -> io::Result<Result<usize, usize>> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            let member = index(middle) as usize;
            match compare(&self.all[member])? {
                Ordering::Equal => return Ok(Ok(member)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(Err(low))
    }

    fn insert_at(&mut self, (run, at): Place, member: Member<T>) {
        let index = u32::try_from(self.all.len()).expect("fewer objects than that");
        self.all.push(member);
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        self.runs[run].insert(at, index);
        if self.runs[run].len() == Self::LONGEST_RUN {
            let tail = self.runs[run].split_off(Self::LONGEST_RUN / 2);
            self.runs.insert(run + 1, tail);
        }
    }

    /// One of the members.
    pub fn any(&self) -> Option<&Member<T>> {
        self.all.first()
    }

    /// The member that is the same object as this task's.
    ///
    /// # Errors
    /// As [`kcmp`].
    pub fn find(&self, pid: i32, number: u64) -> io::Result<Option<&Member<T>>> {
        Ok(self.place(pid, number)?.ok().map(|at| &self.all[at]))
    }

    /// The member that `compare` says is equal to what is searched, given a member's order
    /// relative to that.
    ///
    /// # Errors
    /// Those of `compare`.
    pub fn find_by(
        &self,
        compare: impl FnMut(&Member<T>) -> io::Result<Ordering>,
    ) -> io::Result<Option<&Member<T>>> {
        Ok(self.place_by(compare)?.ok().map(|at| &self.all[at]))
    }

    /// Adds this task's object, unless there is a member that is the same, which is returned.
    ///
    /// # Errors
    /// As [`kcmp`].
    pub fn insert(&mut self, pid: i32, number: u64, value: T) -> io::Result<Option<&Member<T>>> {
        match self.place(pid, number)? {
            Ok(at) => Ok(Some(&self.all[at])),
            Err(place) => {
                self.insert_at(place, Member { pid, number, value });
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn members_are_found_again_and_stay_in_order(numbers in prop::collection::vec(0u64..3000, 0..2500)) {
            let mut set = Sorted::new(Kind::File);
            let place = |set: &Sorted<usize>, number: u64| {
                set.place_by(|other| Ok(other.number.cmp(&number))).unwrap()
            };
            let mut first = std::collections::BTreeMap::new();
            for (value, number) in numbers.into_iter().enumerate() {
                match place(&set, number) {
                    Ok(known) => prop_assert_eq!(set.all[known].value, first[&number]),
                    Err(at) => {
                        prop_assert!(first.insert(number, value).is_none());
                        set.insert_at(at, Member { pid: 1, number, value });
                    }
                }
            }
            let order: Vec<u64> = set.runs.iter().flatten().map(|index| set.all[*index as usize].number).collect();
            prop_assert_eq!(order, first.keys().copied().collect::<Vec<_>>());
            prop_assert!(set.runs.iter().all(|run| (1..Sorted::<usize>::LONGEST_RUN).contains(&run.len())));
        }
    }
}
