//! set_mempolicy(2) and mbind(2): from which nodes memory is taken, for a thread and for ranges.
//! One node is enough: the kernel keeps the policy all the same.

use crate::framework::prelude::*;
use anyhow::Result;

pub const WORKLOAD: Workload = Workload {
    purpose: "memory policies of threads that differ, of neighbours in one mapping, and of shared memory",
    needs: &[],
    active: false,
    statik: false,
    run,
};

/// include/uapi/linux/mempolicy.h
const MPOL_PREFERRED_MANY: i32 = 5;
const MPOL_WEIGHTED_INTERLEAVE: i32 = 6;
const MPOL_F_ADDR: i32 = 1 << 1;
const MPOL_F_MEMS_ALLOWED: i32 = 1 << 2;

/// Modes, and whether they take a node.
const POLICIES: [(i32, bool); 9] = [
    (libc::MPOL_INTERLEAVE, true),
    (libc::MPOL_BIND, true),
    (libc::MPOL_BIND | libc::MPOL_F_STATIC_NODES, true),
    (libc::MPOL_INTERLEAVE | libc::MPOL_F_RELATIVE_NODES, true),
    (libc::MPOL_PREFERRED, true),
    (libc::MPOL_LOCAL, false),
    // Linux 5.12, 5.15 and 6.9.
    (libc::MPOL_BIND | libc::MPOL_F_NUMA_BALANCING, true),
    (MPOL_PREFERRED_MANY, true),
    (MPOL_WEIGHTED_INTERLEAVE, true),
];

/// Bits of node numbers: more than any kernel has nodes (`MAX_NUMNODES`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Nodes([u64; 16]);

impl Nodes {
    const NONE: Nodes = Nodes([0; 16]);
    /// The number of bits passed to the calls, which ignore the last one.
    const BITS: usize = 1024 + 1;

    /// Only the first of these.
    fn first(self) -> Nodes {
        let mut one = Nodes::NONE;
        if let Some(index) = self.0.iter().position(|word| *word != 0) {
            one.0[index] = 1 << self.0[index].trailing_zeros();
        }
        one
    }
}

/// A mode with its flags, and nodes.
type Policy = (i32, Nodes);

fn run(cx: &mut Ctx) -> Outcome {
    static GO: Cell = Cell::new();
    let node = match get(0, MPOL_F_MEMS_ALLOWED) {
        Err(error) if matches!(sys::errno_in(&error), Some(libc::ENOSYS | libc::EPERM)) => {
            return skip("the kernel has no memory policies, or permits none");
        }
        allowed => allowed?.1.first(),
    };
    let mut threads = Vec::new();
    for policy in policies(node)? {
        let thread = thread::spawn(move || {
            set(policy)?;
            let want = get(0, 0)?;
            expect(want.0 != libc::MPOL_DEFAULT, || format!("the policy {policy:x?} shows as none"))?;
            GO.block_until(1);
            expect_eq("policy of the thread", get(0, 0)?, want)
        })?;
        thread.wait_blocked_in(libc::SYS_futex)?;
        threads.push(thread);
    }

    let all = policies(node)?;
    // As many pages again without a policy, so that neighbours are either separated by them or
    // adjacent.
    let mut private = Mapping::private((2 * all.len() + 2) * page_size())?;
    let mut shared = Mapping::shared((2 * all.len() + 2) * page_size())?;
    for memory in [&mut private, &mut shared] {
        for (index, policy) in all.iter().enumerate() {
            bind(memory.start() + index * page_size(), 1, *policy)?;
            bind(memory.start() + (all.len() + 1 + index) * page_size(), 1 + index % 2, *policy)?;
        }
        pattern::fill(memory.bytes_mut(), cx.seed);
    }
    let file = fd::open("file", libc::O_RDWR | libc::O_CREAT, 0o600)?;
    fd::write_all(&file, &vec![1; 3 * page_size()])?;
    let read_write = libc::PROT_READ | libc::PROT_WRITE;
    let of_file = Some((std::os::fd::AsFd::as_fd(&file), 0));
    let of_file = Mapping::new(3 * page_size(), read_write, libc::MAP_PRIVATE, of_file)?;
    bind(of_file.start() + page_size(), 1, (libc::MPOL_BIND, node))?;
    set((libc::MPOL_BIND, node))?;
    let want = [ranges(&private)?, ranges(&shared)?, ranges(&of_file)?];

    cx.ready()?;

    expect_eq("policy of the main thread", get(0, 0)?, (libc::MPOL_BIND, node))?;
    for (memory, want) in [&private, &shared, &of_file].into_iter().zip(want) {
        expect_eq(&format!("policies of {:?}", procfs::vma_at(memory.start())?.name), ranges(memory)?, want)?;
    }
    for memory in [&private, &shared] {
        pattern::verify("contents", memory.bytes(), cx.seed)?;
    }
    GO.set(1);
    threads.into_iter().try_for_each(Thread::join)
}

/// The policies that the kernel supports, with this node.
fn policies(node: Nodes) -> Result<Vec<Policy>> {
    let before = get(0, 0)?;
    let mut all = Vec::new();
    for (mode, with_node) in POLICIES {
        let policy = (mode, if with_node { node } else { Nodes::NONE });
        match set(policy) {
            Err(error) if sys::errno_in(&error) == Some(libc::EINVAL) => {}
            done => done.map(|()| all.push(policy))?,
        }
    }
    set(before)?;
    Ok(all)
}

/// The policy of each page.
fn ranges(memory: &Mapping) -> Result<Vec<Policy>> {
    (memory.start()..memory.end()).step_by(page_size()).map(|address| get(address, MPOL_F_ADDR)).collect()
}

fn get(address: usize, flags: i32) -> Result<Policy> {
    let (mut mode, mut nodes) = (0i32, Nodes::NONE);
    // SAFETY: the kernel writes an int and as many bits as specified, or fewer.
    sys::check("get_mempolicy", unsafe {
        let nodes = nodes.0.as_mut_ptr();
        libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, nodes, Nodes::BITS, address, flags)
    })?;
    Ok((mode, nodes))
}

fn set((mode, nodes): Policy) -> Outcome {
    // SAFETY: the kernel reads as many bits as specified.
    sys::check("set_mempolicy", unsafe {
        libc::syscall(libc::SYS_set_mempolicy, mode, nodes.0.as_ptr(), Nodes::BITS)
    })
    .with_context(|| format!("mode {mode:#x}"))?;
    Ok(())
}

fn bind(start: usize, pages: usize, (mode, nodes): Policy) -> Outcome {
    // SAFETY: the kernel reads as many bits as specified, and changes no contents.
    sys::check("mbind", unsafe {
        libc::syscall(libc::SYS_mbind, start, pages * page_size(), mode, nodes.0.as_ptr(), Nodes::BITS, 0)
    })
    .with_context(|| format!("mode {mode:#x} for {pages} pages at {start:#x}"))?;
    Ok(())
}
