//! Names of the packages that are needed besides kernels.

use super::version::Series;

pub(super) const RUST_SRC: &str = "rust-src";
pub(super) const BUSYBOX: &str = "busybox-static";
pub(super) const KERNEL_SOURCE: &str = "linux-source-";
pub(super) const PROGRAM_HEADERS: &str = "linux-libc-dev";

/// Whether a package of this name is needed besides kernels.
pub(super) fn is_wanted(name: &str) -> bool {
    [RUST_SRC, BUSYBOX, PROGRAM_HEADERS].contains(&name) || is_kernel_source(name)
}

/// Whether this is the package with a series' sources (`linux-source-6.12`), not the metapackage
/// that depends on the newest.
pub(super) fn is_kernel_source(name: &str) -> bool {
    name.strip_prefix(KERNEL_SOURCE).is_some_and(|series| series.parse::<Series>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("linux-source-6.12", true)]
    #[case("linux-source", false)]
    #[case("linux-source-6.12-rt", false)]
    #[case("linux-libc-dev", true)]
    #[case("linux-libc-dev-arm64-cross", false)]
    fn packages_beside_kernels(#[case] name: &str, #[case] wanted: bool) {
        assert_eq!(is_wanted(name), wanted);
    }
}
