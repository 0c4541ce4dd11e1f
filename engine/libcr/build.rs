//! The name that programs are linked to, as BLCR's library has it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcr.so.0");
}
