//! What a restart depends on: the machine, the kernel, and the engine itself, of which every new
//! process is a fork.

use super::changes::{self, Accepted};
use super::plan::Host;
use super::{Home, plan};
use crate::error::{Context, Error, Result};
use crate::proc::{maps, read_short, status};
use crate::resource::fd::Kind;
use crate::resource::fd::inode::Inode;
use crate::resource::fd::socket::peer::DESCRIPTORS;
use crate::resource::mm::restore::SpecialMapping;
use crate::resource::mm::{marks, policy};
use crate::resource::thread::creds::Creds;
use crate::resource::{Records, process, timer};
use crate::sys::{self, task};
use rustix::thread::{CapabilitySet, capabilities};
use std::io;

/// Examines the engine: what a fork of it will inherit. `used` is its highest open descriptor.
pub fn look(records: &Records, accepted: &[Option<Accepted>], home: Home, used: i32) -> Result<Host> {
    let pid = std::process::id() as i32;
    let text = std::fs::read("/proc/self/maps").context(|| "read /proc/self/maps")?;
    let mappings: Vec<_> = maps::parse(&text).filter(|mapping| mapping.start < sys::task_size()).collect();
    let is_special = |name: &[u8]| name == marks::VDSO.as_bytes() || name.starts_with(b"[vvar");
    let special = mappings.iter().filter(|mapping| is_special(mapping.printed)).map(|mapping| {
        let name = String::from_utf8_lossy(mapping.printed).into_owned();
        SpecialMapping { name, start: mapping.start, len: mapping.end - mapping.start }
    });
    let special = special.collect();
    let busy = mappings.iter().map(maps::Mapping::range).collect();
    let status = status::of_thread(pid, pid)?;
    let securebits = sys::prctl(libc::PR_GET_SECUREBITS, [0; 4]).context(|| "read securebits")? as u32;
    let rlimits =
        (0..process::RLIMITS).map(|r| task::rlimit(pid, r).context(|| format!("read resource limit {r}")));
    let rlimits: Vec<_> = rlimits.collect::<Result<_>>()?;
    const PATTERN: &str = "/proc/sys/kernel/core_pattern";
    let pattern = read_short(PATTERN).context(|| format!("read {PATTERN}"))?;
    Ok(Host {
        special,
        busy,
        task_size: sys::task_size(),
        creds: Creds::of_status(&status, securebits, 0)?,
        coreless: coreless(&pattern, rlimits[libc::RLIMIT_CORE as usize].1),
        rlimits,
        timer_ids_by_wish: timer::restore_ids_available(),
        policies: policy::available(),
        first_slot: first_slot(records, used),
        stand_in: home.stand_in(records)?,
        cut_back: changes::to_cut_back(accepted),
    })
}

/// The RLIMIT_CORE that suppresses a core dump: less than a page for a file, exactly 1 for a pipe
/// handler. A dump to a socket ignores the limit (fs/coredump.c, Linux 6.16).
fn coreless(pattern: &[u8], hard: u64) -> Option<(u64, u64)> {
    match pattern.first() {
        Some(b'@') => None,
        Some(b'|') if hard == 0 => None,
        _ => Some((hard.min(1), hard)),
    }
}

/// The first descriptor that the engine never uses for itself. While it opens files it holds both
/// ends of a pipe, or whatever else belongs to one inode, the channel that descriptors are sent
/// into, all unlinked directories, what sockets are connected to that nobody else has, and what
/// others make them with.
fn first_slot(records: &Records, used: i32) -> i32 {
    const PASSING: i32 = 11;
    let kept = |inode: &&Inode| inode.unlinked.is_some() && inode.kind == Kind::Directory;
    const EACH: i32 = 3;
    let forbidding = |inode: &&Inode| inode.unlinked.as_ref().is_some_and(|unlinked| unlinked.flags != 0);
    let count = |which: &dyn Fn(&&Inode) -> bool| records.inodes.iter().filter(which).count() as i32;
    let partners = count(&|inode| inode.kind.verbs().has_partner());
    let deputies = if records.joins() { DESCRIPTORS } else { 0 };
    used + PASSING + EACH * count(&kept) + count(&forbidding) + partners + deputies
}

/// Raises the soft RLIMIT_NOFILE to the hard limit, and the hard limit to `need` where permitted;
/// returns the limit. A new process gets its own from the plan.
pub fn raise_descriptor_limit(need: Option<u64>) -> Result<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context(|| "raise limit of open files")?;
    if let (Some(need), Some(maximum)) = (need, limit.maximum)
        && need > maximum
    {
        let higher = rustix::process::Rlimit { current: Some(need), maximum: Some(need) };
        // Without CAP_SYS_RESOURCE the limit stays as it is; the caller reports that.
        if setrlimit(Resource::Nofile, higher).is_ok() {
            return Ok(need);
        }
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Checks that the records fit kernel and processor, and that nothing a child inherits from the
/// engine would differ from the checkpoint.
pub fn check(records: &Records, host: &Host) -> Result<()> {
    if let Some(why) = plan::special_mismatch(records, host) {
        return Err(Error::Conflict(why));
    }
    let own = vdso_digest(host)?;
    let pid = std::process::id() as i32;
    let label = process::label(pid)?;
    let own_capabilities = capabilities(None).context(|| "read own capabilities")?;
    let raises_limits = own_capabilities.effective.contains(CapabilitySet::SYS_RESOURCE);
    for (process, alive) in records.alive() {
        let pid = process.pid;
        if alive.memory.vdso.is_some() && alive.memory.vdso != own {
            return Err(Error::Conflict(format!("pid {pid}: the running kernel has a different vdso")));
        }
        if alive.label.is_some() && alive.label != label {
            return Err(Error::Conflict(format!(
                "pid {pid}: had the security label {} at the checkpoint, but would inherit {} from cairn",
                alive.label.as_ref().map_or(String::new(), ToString::to_string),
                label.as_ref().map_or("none".to_string(), ToString::to_string)
            )));
        }
        if let Some(what) = limit_to_raise(pid, &alive.rlimits, &host.rlimits).filter(|_| !raises_limits) {
            return Err(Error::Denied { what, source: io::Error::from_raw_os_error(libc::EPERM) });
        }
        if host.creds.no_new_privs && alive.threads.iter().any(|thread| !thread.creds.no_new_privs) {
            return Err(Error::Conflict(format!(
                "pid {pid}: would inherit no_new_privs from cairn, which cannot be cleared: start cairn without it"
            )));
        }
    }
    if records.has_seccomp() && !own_capabilities.effective.contains(CapabilitySet::SYS_ADMIN) {
        let what = "restore seccomp filters: run the command with `sudo` (it needs CAP_SYS_ADMIN)".into();
        return Err(Error::Denied { what, source: io::Error::from_raw_os_error(libc::EPERM) });
    }
    if status::of_thread(pid, pid)?.seccomp.unwrap_or(0) != 0 {
        return Err(Error::Conflict(
            "cairn has a seccomp filter, which every restarted process would inherit: start cairn without it"
                .into(),
        ));
    }
    Ok(())
}

/// The first hard limit above the engine's, which a new process inherits.
fn limit_to_raise(pid: i32, theirs: &[(u64, u64)], ours: &[(u64, u64)]) -> Option<String> {
    let higher = theirs.iter().zip(ours).position(|((_, theirs), (_, ours))| theirs > ours)?;
    Some(format!(
        "pid {pid}: has the hard limit {} at {}, but would inherit {} from cairn: raise it (ulimit -H) before starting cairn, or run cairn with CAP_SYS_RESOURCE",
        process::rlimit_name(higher as u32),
        process::shown(theirs[higher].1),
        process::shown(ours[higher].1),
    ))
}

fn vdso_digest(host: &Host) -> Result<Option<u64>> {
    let vdso = host.special.iter().find(|mapping| mapping.name == marks::VDSO);
    let own = std::process::id() as i32;
    vdso.map(|mapping| marks::vdso_digest(own, mapping.range())).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::file("core", u64::MAX, Some((1, u64::MAX)))]
    #[case::file_without_a_limit_to_raise("core", 0, Some((0, 0)))]
    #[case::program("|/usr/bin/collect %P", u64::MAX, Some((1, u64::MAX)))]
    #[case::program_that_gets_what_has_limit_0("|/usr/bin/collect %P", 0, None)]
    #[case::socket("@/run/collect", u64::MAX, None)]
    fn a_limit_keeps_cores_away(#[case] pattern: &str, #[case] hard: u64, #[case] limit: Option<(u64, u64)>) {
        assert_eq!(coreless(pattern.as_bytes(), hard), limit);
    }
}
