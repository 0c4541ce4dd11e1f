//! The steps of a restart.

use crate::phase::Restart as Phase;
use crate::remote::Program;
use crate::resource::Records;
use crate::resource::fd::{Identity, JoinStage};
use crate::resource::ipc::segment::Segment;

/// A task that a program creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewTask {
    /// Its process.
    pub pid: i32,
    /// Its thread id.
    pub tid: i32,
}

/// A step of a restart. Indices refer to the records.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A phase begins.
    Begin(Phase),
    /// The engine creates a shared memory object with its contents.
    MakeShared {
        /// Index of the object.
        object: usize,
        /// Its descriptor.
        slot: i32,
    },
    /// Every process is attached to System V shared memory: the engine sets its owner and mode.
    FinishShared {
        /// Index of the object.
        object: usize,
    },
    /// The engine creates a System V object that is used by its id only.
    MakeSysv {
        /// Index of the object.
        object: usize,
    },
    /// The engine sets its contents.
    FillSysv {
        /// Index of the object.
        object: usize,
    },
    /// The engine creates an inode that has no name: an unlinked file or directory, a pipe.
    MakeInode {
        /// Index of the inode.
        inode: usize,
    },
    /// The engine opens a file.
    Open {
        /// Index of the open file description.
        file: usize,
        /// Its descriptor.
        slot: i32,
    },
    /// The engine makes a socket pair to move descriptors into processes.
    MakeChannel {
        /// The descriptor of the end that processes inherit.
        slot: i32,
    },
    /// The engine opens a file that refers to a task, now that all tasks are there.
    OpenLate {
        /// Index of the open file description.
        file: usize,
    },
    /// The engine sends descriptors of such files, and a process runs a program that receives them.
    Move {
        /// Its PID.
        pid: i32,
        /// Indices of the open file descriptions, in this order.
        files: Vec<usize>,
        /// System calls to make; boxed, since most of many steps are small.
        program: Box<Program>,
    },
    /// The engine connects what is open with each other.
    Join(JoinStage),
    /// The engine removes the names of unlinked directories.
    RemoveDirectories,
    /// Everything is open on a created inode: the engine sets its owner and mode.
    FinishInode {
        /// Index of the inode.
        inode: usize,
    },
    /// The engine truncates what was appended to a file since the checkpoint.
    CutBack {
        /// Index of the inode.
        inode: usize,
    },
    /// The engine forks a process, seizes it, maps its scratch range and unregisters the inherited
    /// rseq area.
    Create {
        /// Its PID.
        pid: i32,
        /// Signal to its parent on exit.
        exit_signal: i32,
    },
    /// A thread runs a program.
    Run {
        /// Its PID.
        pid: i32,
        /// Its thread id.
        tid: i32,
        /// Purpose of the program.
        what: &'static str,
        /// System calls to make.
        program: Box<Program>,
        /// Tasks that the program creates.
        new_tasks: Vec<NewTask>,
    },
    /// A process runs a program and then exits.
    End {
        /// Its PID.
        pid: i32,
        /// System calls before it exits.
        program: Box<Program>,
        /// Exit status as in wait(2).
        status: i32,
        /// Made undumpable last, because an unprivileged engine cannot access it afterwards.
        undumpable: bool,
    },
    /// The leader of a process runs a program and then exits, while its other threads stay.
    EndLeader {
        /// Its PID.
        pid: i32,
        /// System calls before it exits.
        program: Box<Program>,
        /// Exit status as in wait(2).
        status: i32,
    },
    /// The engine reaps a helper that is its own child.
    Reap {
        /// Its PID.
        pid: i32,
    },
    /// A process enters a group stop.
    Stop {
        /// Its PID.
        pid: i32,
        /// The stop signal.
        signal: i32,
    },
    /// A process leaves its group stop; its parent has yet to wait for the event (WCONTINUED).
    Continue {
        /// Its PID.
        pid: i32,
    },
    /// The engine sets the times of unlinked files, which creating and filling them has changed.
    ResetTimes,
    /// The engine sets the owners of asynchronous I/O.
    SetOwners,
    /// The engine sets what it can set from outside (scheduling, extended and general registers,
    /// signal mask) and unmaps the scratch range.
    Finalize {
        /// Its PID.
        pid: i32,
    },
    /// All tasks are detached and run.
    Release,
}

impl Step {
    /// Describes the step in one line, or several for a program.
    pub fn describe(&self, records: &Records) -> String {
        let called = |inode: &usize| name_of(records, *inode);
        match self {
            Step::Begin(phase) => format!("-- {phase}"),
            Step::MakeShared { object, slot } => match &records.shared[*object].segment {
                Some(segment) => format!("make {} as fd {slot}", segment.label()),
                None => format!("make shared memory {object} as fd {slot}"),
            },
            Step::FinishShared { object } => {
                let label = records.shared[*object].segment.as_ref().map(Segment::label);
                format!("set owner and permissions of {}", label.unwrap_or_default())
            }
            Step::MakeSysv { object } => format!("make {}", records.sysv[*object].object().label()),
            Step::FillSysv { object } => {
                format!("set contents and owner of {}", records.sysv[*object].object().label())
            }
            Step::MakeInode { inode } => format!("make {}", called(inode)),
            Step::Open { file, slot } => format!("open {} as fd {slot}", called(&records.files[*file].inode)),
            Step::MakeChannel { slot } => format!("make a channel for descriptors as fd {slot}"),
            Step::OpenLate { file } => format!("open {}", called(&records.files[*file].inode)),
            Step::Move { pid, files, .. } => {
                let names: Vec<String> =
                    files.iter().map(|file| called(&records.files[*file].inode)).collect();
                format!("{pid}: receive {}", names.join(", "))
            }
            Step::Join(stage) => match stage {
                JoinStage::Connect => "connect sockets".into(),
                JoinStage::Fill => "fill the queues of sockets".into(),
                JoinStage::Finish => "set options of sockets".into(),
            },
            Step::RemoveDirectories => "remove the names of unlinked directories".into(),
            Step::FinishInode { inode } if records.inodes[*inode].unlinked.is_some() => {
                format!("set owner and permissions of {}", called(inode))
            }
            Step::FinishInode { inode } => format!("finish {}", called(inode)),
            Step::CutBack { inode } => format!("truncate {} to its size at the checkpoint", called(inode)),
            Step::Create { pid, .. } => format!("create process {pid}"),
            Step::Run { tid, what, program, .. } => {
                let calls = program.calls().iter().map(|call| format!("\n    {}", call.what));
                format!("{tid}: {what}{}", calls.collect::<String>())
            }
            Step::End { pid, status, .. } => format!("{pid}: end with status {status:#x}"),
            Step::EndLeader { pid, status, .. } => {
                format!("{pid}: end without the other threads, with status {status:#x}")
            }
            Step::Reap { pid } => format!("wait for helper {pid}"),
            Step::Stop { pid, signal } => format!("{pid}: stop by signal {signal}"),
            Step::Continue { pid } => format!("{pid}: continue"),
            Step::ResetTimes => "set times of unlinked files".into(),
            Step::SetOwners => "set owners of asynchronous I/O".into(),
            Step::Finalize { pid } => {
                format!("{pid}: set scheduling, registers and masks; unmap scratch range")
            }
            Step::Release => "release all processes".into(),
        }
    }
}

/// The name of an inode in a plan.
fn name_of(records: &Records, inode: usize) -> String {
    let record = &records.inodes[inode];
    let name = record.label(inode).display().to_string();
    let had_name = record.unlinked.is_some() && record.kind.verbs().identity() == Identity::Path;
    if had_name { format!("{name} (deleted)") } else { name }
}
