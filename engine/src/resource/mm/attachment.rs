//! Mappings of System V shared memory: shmat(2) maps a segment whole, and parts of it may have been
//! unmapped or protected since.

use super::Range;
use super::vma::{Backing, Vma};
use crate::arch;
use crate::remote::{Arg, Program};
use crate::resource::ipc::segment::Segment;
use std::collections::{BTreeMap, HashMap};

/// A call of shmat(2) and what is left of its mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Index of the shared memory object.
    pub object: usize,
    /// `SHM_RDONLY`
    pub read_only: bool,
    /// The addresses of the whole segment.
    pub whole: Range,
    /// The parts that are mapped, sorted.
    pub parts: Vec<Range>,
}

/// The attachments of an address space, in order of their first parts; `size` gives the size of an
/// object in whole pages.
///
/// # Errors
/// The first mapping that shmat(2) could not recreate: a part that was moved to where the whole
/// segment has no room.
pub fn attachments<'a>(
    vmas: impl Iterator<Item = &'a Vma> + Clone,
    size: impl Fn(usize) -> u64,
    task_size: u64,
) -> Result<Vec<Attachment>, Range> {
    /// Below it the kernel may refuse to map (vm.mmap_min_addr).
    const LOWEST: u64 = 1 << 16;
    let special = vmas.clone().filter(|vma| vma.is_special());
    let mut taken: BTreeMap<u64, u64> = special.map(|vma| (vma.start, vma.end)).collect();
    let mut all: Vec<Attachment> = Vec::new();
    let mut known: HashMap<(usize, bool, u64), usize> = HashMap::new();
    for vma in vmas {
        let Backing::Segment { object, offset, read_only } = vma.backing else { continue };
        let part = vma.start..vma.end;
        let Some(start) = vma.start.checked_sub(offset) else { return Err(part) };
        if let Some(index) = known.get(&(object, read_only, start)) {
            all[*index].parts.push(part);
            continue;
        }
        let whole = start..start.saturating_add(size(object));
        let below = taken.range(..whole.end).next_back();
        let is_taken = below.is_some_and(|(_, end)| *end > whole.start);
        if is_taken || whole.start < LOWEST || whole.end > task_size || part.end > whole.end {
            return Err(part);
        }
        taken.insert(whole.start, whole.end);
        known.insert((object, read_only, start), all.len());
        all.push(Attachment { object, read_only, whole, parts: vec![part] });
    }
    Ok(all)
}

impl Attachment {
    /// Attaches the whole segment, and unmaps what is not mapped of it. The parts get their
    /// protection later.
    pub fn rebuild(&self, segment: &Segment, program: &mut Program) {
        let flags = if self.read_only { libc::SHM_RDONLY } else { 0 };
        let args: [Arg; 3] = [segment.id().into(), self.whole.start.into(), flags.into()];
        program.call_returning(
            arch::SYS_SHMAT,
            &args,
            self.whole.start,
            format!("attach {}", segment.label()),
        );
        let mut at = self.whole.start;
        for hole in self.parts.iter().chain([&(self.whole.end..self.whole.end)]) {
            if hole.start > at {
                let args = [at.into(), (hole.start - at).into()];
                program.call_ok(libc::SYS_munmap, &args, format!("detach {at:#x}-{:#x}", hole.start));
            }
            at = hole.end;
        }
        if self.parts.len() > 1 {
            // This splits the mapping, which counts as one more each time, as it did before; the
            // kernel merges none with a `close` operation (mm/vma.c, `can_merge_remove_vma`).
            for part in &self.parts {
                let args = [part.start.into(), (part.end - part.start).into(), libc::PROT_NONE.into()];
                program.call_ok(
                    libc::SYS_mprotect,
                    &args,
                    format!("split off {:#x}-{:#x}", part.start, part.end),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn vma(start: u64, end: u64, backing: Backing) -> Vma {
        let (flags, guards) = (Vec::new(), Vec::new());
        Vma { start, end, prot: libc::PROT_READ, backing, flags, guards, pkey: 0, policy: None }
    }

    fn part(start: u64, end: u64, offset: u64) -> Vma {
        vma(start, end, Backing::Segment { object: 0, offset, read_only: false })
    }

    fn of(vmas: &[Vma]) -> Result<Vec<Attachment>, Range> {
        attachments(vmas.iter(), |_| 0x4000, 0x100_0000)
    }

    #[test]
    fn parts_of_one_call_are_found() {
        let vmas = [
            part(0x10_1000, 0x10_2000, 0x1000),
            part(0x10_3000, 0x10_4000, 0x3000),
            part(0x20_0000, 0x20_4000, 0),
        ];
        let found = of(&vmas).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].whole.clone(), found[0].parts.len()), (0x10_0000..0x10_4000, 2));
        assert_eq!(found[1].whole, 0x20_0000..0x20_4000);
    }

    #[rstest]
    #[case::before_the_first_address(&[part(0x2000, 0x3000, 0x3000)])]
    #[case::below_the_lowest(&[part(0x1_1000, 0x1_2000, 0x2000)])]
    #[case::past_the_end(&[part(0xff_f000, 0x100_0000, 0)])]
    #[case::longer_than_the_segment(&[part(0x10_0000, 0x10_5000, 0)])]
    #[case::one_upon_the_other(&[part(0x10_0000, 0x10_1000, 0), part(0x10_2000, 0x10_3000, 0)])]
    #[case::a_special_one(&[part(0x10_0000, 0x10_1000, 0), vma(0x10_3000, 0x10_4000, Backing::Special { name: "[vdso]".into() })])]
    fn what_was_moved_to_where_the_whole_has_no_room_is_refused(#[case] vmas: &[Vma]) {
        assert!(of(vmas).is_err());
    }
}
