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
}

impl<T> Sorted<T> {
    /// An empty set.
    pub fn new(kind: Kind) -> Self {
        Sorted { kind, all: Vec::new() }
    }

    fn place(&self, pid: i32, number: u64) -> io::Result<Result<usize, usize>> {
        self.place_by(|other| kcmp(other.pid, pid, self.kind, other.number, number))
    }

    fn place_by(
        &self,
        mut compare: impl FnMut(&Member<T>) -> io::Result<Ordering>,
    ) -> io::Result<Result<usize, usize>> {
        let (mut low, mut high) = (0, self.all.len());
        while low < high {
            let middle = low.midpoint(high);
            let other = &self.all[middle];
            match compare(other)? {
                Ordering::Equal => return Ok(Ok(middle)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(Err(low))
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
            Err(at) => {
                self.all.insert(at, Member { pid, number, value });
                Ok(None)
            }
        }
    }
}
