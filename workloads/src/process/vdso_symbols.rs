//! Finds functions in the vdso without libc: the dynamic symbols of the small ELF image that
//! AT_SYSINFO_EHDR points to.

use crate::framework::sys;
use anyhow::{Context as _, Result, ensure};

/// Names of the functions (vdso(7)). arm64 has no getcpu there.
#[cfg(target_arch = "x86_64")]
const NAMES: [&[u8]; 2] = [b"__vdso_clock_gettime", b"__vdso_getcpu"];
#[cfg(not(target_arch = "x86_64"))]
const NAMES: [&[u8]; 2] = [b"__kernel_clock_gettime", b"__kernel_getcpu"];

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
/// Bytes of an Elf64_Sym.
const SYM_SIZE: usize = 24;

/// The vdso of this process.
pub struct Vdso {
    base: usize,
    /// Added to the addresses in the image: it is linked to 1 MiB on powerpc before 5.12.
    bias: usize,
    strings: usize,
    symbols: usize,
}

impl Vdso {
    /// Reads the tables of the image.
    pub fn find() -> Result<Self> {
        // SAFETY: getauxval only reads the vector.
        let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
        ensure!(base != 0, "the kernel gave no vdso");
        ensure!(u32::from_be(read::<u32>(base)) == 0x7f45_4c46, "no ELF image at {base:#x}");
        let (headers, count) = (base + read::<u64>(base + 32) as usize, usize::from(read::<u16>(base + 56)));
        let (mut bias, mut dynamic) = (None, None);
        for header in (0..count).map(|index| headers + 56 * index) {
            let (offset, address) = (read::<u64>(header + 8) as usize, read::<u64>(header + 16) as usize);
            match read::<u32>(header) {
                PT_LOAD if bias.is_none() => bias = Some((base + offset).wrapping_sub(address)),
                PT_DYNAMIC => dynamic = Some(base + offset),
                _ => {}
            }
        }
        let bias = bias.context("the vdso has no loaded segment")?;
        let mut entry = dynamic.context("the vdso has no dynamic segment")?;
        let (mut strings, mut symbols) = (0, 0);
        while read::<u64>(entry) != 0 {
            let value = bias.wrapping_add(read::<u64>(entry + 8) as usize);
            match read::<u64>(entry) {
                DT_STRTAB => strings = value,
                DT_SYMTAB => symbols = value,
                _ => {}
            }
            entry += 16;
        }
        ensure!(strings > symbols && symbols != 0, "the vdso's tables are in an order that is not known");
        Ok(Self { base, bias, strings, symbols })
    }

    /// Where the image starts.
    pub fn base(&self) -> usize {
        self.base
    }

    /// clock_gettime(2) of the vdso, in nanoseconds.
    pub fn clock_gettime(&self) -> Result<impl Fn(libc::clockid_t) -> Result<i64> + use<>> {
        let at = self.symbol(NAMES[0]).context("the vdso has no clock_gettime")?;
        // SAFETY: this symbol has exactly this signature by the vdso's ABI.
        let call: extern "C" fn(libc::clockid_t, *mut libc::timespec) -> i32 =
            unsafe { std::mem::transmute(at) };
        Ok(move |id| {
            let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let rc = call(id, &mut now);
            ensure!(rc == 0, "clock_gettime of the vdso: {rc}, errno {}", sys::errno());
            Ok(now.tv_sec * 1_000_000_000 + now.tv_nsec)
        })
    }

    /// getcpu(2) of the vdso, where there is one: stores the processor, returns 0.
    pub fn getcpu(&self) -> Option<impl Fn(&mut u32) -> i32 + use<>> {
        type GetCpu = extern "C" fn(*mut u32, *mut u32, *mut libc::c_void) -> i32;
        // SAFETY: this symbol has exactly this signature by the vdso's ABI.
        let call: GetCpu = unsafe { std::mem::transmute(self.symbol(NAMES[1])?) };
        Some(move |cpu: &mut u32| call(cpu, std::ptr::null_mut(), std::ptr::null_mut()))
    }

    /// Address of the function `name`. The symbol table ends where the string table starts.
    fn symbol(&self, name: &[u8]) -> Option<usize> {
        (self.symbols..self.strings).step_by(SYM_SIZE).find_map(|symbol| {
            let text = self.strings + read::<u32>(symbol) as usize;
            let same = (0..name.len()).all(|i| read::<u8>(text + i) == name[i])
                && read::<u8>(text + name.len()) == 0;
            let value = read::<u64>(symbol + 8) as usize;
            (same && value != 0).then(|| self.bias.wrapping_add(value))
        })
    }
}

/// Reads a number from the image.
fn read<T: Copy>(at: usize) -> T {
    // SAFETY: only called with addresses inside of the vdso, which is mapped for ever and readable.
    unsafe { std::ptr::read_unaligned(at as *const T) }
}
