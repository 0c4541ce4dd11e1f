//! Credentials of a thread: ids, groups, capabilities, securebits, no_new_privs, parent-death
//! signal.

use crate::error::{Error, Result};
use crate::remote::{Arg, Program, ProgramOutput};
use crate::resource::signal::AskNumber;
use serde::{Deserialize, Serialize};

/// Capability sets as in /proc/PID/status, bit n for capability n (capabilities(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Capabilities {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
    pub bounding: u64,
    pub ambient: u64,
}

/// The credentials of a thread. The kernel keeps them per thread, even though the C library
/// synchronises them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creds {
    /// Real, effective, saved and file system user id.
    pub uid: [u32; 4],
    /// The same for groups.
    pub gid: [u32; 4],
    /// Supplementary groups, as the kernel sorts them.
    pub groups: Vec<u32>,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// `SECBIT_*`, capabilities(7).
    pub securebits: u32,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// PR_SET_PDEATHSIG, 0 for none.
    pub pdeathsig: i32,
}

/// Reads the credentials that only the thread itself can.
pub struct AskCreds {
    securebits: AskNumber,
    pdeathsig: crate::remote::DataId,
}

impl AskCreds {
    /// Adds the calls.
    pub fn ask(program: &mut Program) -> Self {
        let securebits =
            AskNumber::ask(program, libc::SYS_prctl, &[libc::PR_GET_SECUREBITS.into()], "read securebits");
        let pdeathsig = program.out(4);
        program.call_ok(
            libc::SYS_prctl,
            &[libc::PR_GET_PDEATHSIG.into(), pdeathsig.into()],
            "read pdeathsig",
        );
        AskCreds { securebits, pdeathsig }
    }

    /// The credentials, completed from /proc/PID/task/TID/status.
    ///
    /// # Errors
    /// *unsupported* when the kernel does not report them.
    pub fn answer(&self, outcome: &ProgramOutput, status: &procfs::process::Status) -> Result<Creds> {
        let securebits = self.securebits.answer(outcome).ok_or_else(|| missing(status, "securebits"))? as u32;
        let pdeathsig = outcome.data(self.pdeathsig);
        Creds::of_status(
            status,
            securebits,
            i32::from_ne_bytes(pdeathsig[..4].try_into().expect("four bytes")),
        )
    }
}

fn missing(status: &procfs::process::Status, what: &str) -> Error {
    Error::unsupported(format!("thread {}: this kernel does not show {what}", status.pid))
}

impl Creds {
    /// From /proc/PID/status and the values it does not show.
    ///
    /// # Errors
    /// *unsupported* when the kernel shows less.
    pub fn of_status(status: &procfs::process::Status, securebits: u32, pdeathsig: i32) -> Result<Self> {
        let missing = |what| missing(status, what);
        Ok(Creds {
            uid: [status.ruid, status.euid, status.suid, status.fuid],
            gid: [status.rgid, status.egid, status.sgid, status.fgid],
            groups: status.groups.clone(),
            capabilities: Capabilities {
                inheritable: status.capinh,
                permitted: status.capprm,
                effective: status.capeff,
                bounding: status.capbnd.ok_or_else(|| missing("the bounding set"))?,
                ambient: status.capamb.ok_or_else(|| missing("the ambient set"))?,
            },
            securebits,
            no_new_privs: status.nonewprivs.ok_or_else(|| missing("no_new_privs"))? != 0,
            pdeathsig,
        })
    }
}

impl Capabilities {
    /// Sets the effective, permitted and inheritable set of the thread that runs the program.
    pub fn set(&self, program: &mut Program) {
        let header = program
            .bytes([CAPABILITY_VERSION_3, 0].iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>());
        let halves =
            |shift: u32| [self.effective, self.permitted, self.inheritable].map(|set| (set >> shift) as u32);
        let words = halves(0).into_iter().chain(halves(32));
        let data = program.bytes(words.flat_map(u32::to_ne_bytes).collect::<Vec<u8>>());
        program.call_ok(libc::SYS_capset, &[header.into(), data.into()], "set capabilities");
    }
}

/// include/uapi/linux/capability.h
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
const SECBIT_KEEP_CAPS: u32 = 1 << 4;
/// Capabilities stay as they are when ids change, also to and from uid 0.
const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;

impl Creds {
    /// Changes credentials from `from` to these. The bounding set comes first, while CAP_SETPCAP is
    /// effective; then the ids, with capabilities kept; securebits before the capabilities needed
    /// to set them are dropped.
    pub fn rebuild(&self, from: &Creds, program: &mut Program) {
        let prctl = |program: &mut Program, args: &[Arg], what: &str| {
            program.call_ok(libc::SYS_prctl, args, what.to_string());
        };
        let caps = &self.capabilities;
        for cap in 0..64 {
            if from.capabilities.bounding & !caps.bounding & (1 << cap) != 0 {
                prctl(
                    program,
                    &[libc::PR_CAPBSET_DROP.into(), cap.into()],
                    &format!("drop capability {cap} from bounding set"),
                );
            }
        }
        if self.ids() != from.ids() || self.groups != from.groups {
            let list = program.bytes(self.groups.iter().flat_map(|g| g.to_ne_bytes()).collect::<Vec<u8>>());
            program.call_ok(libc::SYS_setgroups, &[self.groups.len().into(), list.into()], "set groups");
            let keep = from.securebits | SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS;
            prctl(program, &[libc::PR_SET_SECUREBITS.into(), keep.into()], "keep capabilities");
            let [r, e, s, f] = self.gid;
            program.call_ok(libc::SYS_setresgid, &[r.into(), e.into(), s.into()], "set group ids");
            program.call_unchecked(libc::SYS_setfsgid, &[f.into()], "set file system group id");
            let [r, e, s, f] = self.uid;
            program.call_ok(libc::SYS_setresuid, &[r.into(), e.into(), s.into()], "set user ids");
            program.call_unchecked(libc::SYS_setfsuid, &[f.into()], "set file system user id");
        }
        if self.securebits != from.securebits || self.ids() != from.ids() || self.groups != from.groups {
            prctl(program, &[libc::PR_SET_SECUREBITS.into(), self.securebits.into()], "set securebits");
        }
        if *caps != from.capabilities {
            self.rebuild_capabilities(program);
        }
        if self.no_new_privs {
            let args = [libc::PR_SET_NO_NEW_PRIVS.into(), Arg::Imm(1), Arg::Imm(0), Arg::Imm(0), Arg::Imm(0)];
            prctl(program, &args, "set no_new_privs");
        }
        if self.pdeathsig != 0 {
            prctl(
                program,
                &[libc::PR_SET_PDEATHSIG.into(), self.pdeathsig.into()],
                "set parent-death signal",
            );
        }
    }

    fn rebuild_capabilities(&self, program: &mut Program) {
        let caps = &self.capabilities;
        // An ambient capability must be permitted and inheritable when raised, and is lowered when
        // it no longer is.
        Capabilities { effective: caps.effective | caps.permitted, ..*caps }.set(program);
        for cap in (0..64).filter(|cap| caps.ambient & (1 << cap) != 0) {
            let args = [
                libc::PR_CAP_AMBIENT.into(),
                libc::PR_CAP_AMBIENT_RAISE.into(),
                cap.into(),
                Arg::Imm(0),
                Arg::Imm(0),
            ];
            program.call_ok(libc::SYS_prctl, &args, format!("raise ambient capability {cap}"));
        }
        caps.set(program);
    }

    fn ids(&self) -> ([u32; 4], [u32; 4]) {
        (self.uid, self.gid)
    }
}
