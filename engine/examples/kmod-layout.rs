//! Prints the Rust side of the kernel module's ABI for `cargo xtask header-check`.

fn main() {
    for line in cairn::sys::kmod::layout() {
        println!("{line}");
    }
}
