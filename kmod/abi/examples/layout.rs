//! Prints the Rust side of the ABI for `cargo xtask header-check`.

fn main() {
    for line in cairn_kmod_abi::layout() {
        println!("{line}");
    }
}
