//! dlopen(3): a function of a library loaded at run time is called through the same pointer
//! afterwards, another is looked up again, and the library can be closed.

use crate::framework::prelude::*;
use std::ffi::CStr;

pub const WORKLOAD: Workload = Workload {
    purpose: "a library loaded with dlopen, its code and its data",
    needs: &[Need::Dynamic],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    // SAFETY: loading the system's math library runs no code that could break anything.
    let library = unsafe { libc::dlopen(c"libm.so.6".as_ptr(), libc::RTLD_NOW) };
    if library.is_null() {
        return skip("libm.so.6 is not installed");
    }
    let exp2 = symbol(library, c"exp2")?;
    expect_eq("exp2 before", exp2(3.0).to_bits(), 8f64.to_bits())?;

    cx.ready()?;

    expect_eq("exp2 through the old pointer", exp2(3.0).to_bits(), 8f64.to_bits())?;
    expect_eq("floor looked up afresh", symbol(library, c"floor")?(2.5).to_bits(), 2f64.to_bits())?;
    // SAFETY: the handle is open and none of its functions is called again.
    expect_eq("dlclose", unsafe { libc::dlclose(library) }, 0)
}

fn symbol(library: *mut libc::c_void, name: &CStr) -> anyhow::Result<extern "C" fn(f64) -> f64> {
    // SAFETY: the handle is open, the name is a C string.
    let at = unsafe { libc::dlsym(library, name.as_ptr()) };
    anyhow::ensure!(!at.is_null(), "libm has no {name:?}");
    // SAFETY: both requested functions take and return a double.
    Ok(unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn(f64) -> f64>(at) })
}
