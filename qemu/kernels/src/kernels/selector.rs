//! The argument of `--kernel`. Parsing is pure; [`super::locate`] resolves selectors to kernels.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::debug;
use super::version::{Series, Version};

/// One `--kernel` argument.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// `host`: the running kernel, without a guest. The caller must handle it.
    Host,
    /// `debug`: the debugging kernel ([`super::debug`]).
    Debug,
    /// `all`: every series of the matrix.
    All,
    /// `6.x`: every series with this major number.
    Major(u32),
    /// `6.12`: the newest point release of a series. `6.12-16k`: that of its variant of that name,
    /// which is empty for the plain kernel.
    Series(Series, String),
    /// `6.12.107`, `6.12.107-16k`: this point release.
    Release(Version, String),
    /// A `vmlinuz`, a `linux-image` package (`.deb`) or a kernel build tree.
    Path(PathBuf),
}

/// The text is not a selector.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "not a kernel: {0:?} (give a series like 6.12 or 6.12-16k, 6.x, a release like 6.12.107, all, host, debug, \
     or a path to a vmlinuz, a linux-image .deb or a build tree)"
)]
pub struct NotASelector(pub String);

impl FromStr for Selector {
    type Err = NotASelector;

    fn from_str(text: &str) -> Result<Selector, NotASelector> {
        let error = || NotASelector(text.to_owned());
        match text {
            "host" => return Ok(Selector::Host),
            "all" => return Ok(Selector::All),
            debug::NAME => return Ok(Selector::Debug),
            _ => {}
        }
        if let Some(major) = text.strip_suffix(".x") {
            let digits = !major.is_empty() && major.bytes().all(|b| b.is_ascii_digit());
            return major.parse().ok().filter(|_| digits).map(Selector::Major).ok_or_else(error);
        }
        // A name with a slash is always a path, so that a file named `6.12` can be given as
        // `./6.12`.
        if text.contains('/') || text.ends_with(".deb") || text == "." || text == ".." {
            return Ok(Selector::Path(PathBuf::from(text)));
        }
        let (number, variant) = match text.split_once('-') {
            Some((number, variant)) if is_variant(variant) => (number, variant.to_owned()),
            _ => (text, String::new()),
        };
        // The label of its cells.
        if text == debug::label() {
            return Ok(Selector::Debug);
        }
        if let Ok(series) = number.parse::<Series>() {
            return Ok(Selector::Series(series, variant));
        }
        if let Ok(version) = number.parse::<Version>() {
            return Ok(Selector::Release(version, variant));
        }
        if ["vmlinuz", "vmlinux", "bzImage", "Image"].iter().any(|name| text.starts_with(name)) {
            return Ok(Selector::Path(PathBuf::from(text)));
        }
        Err(error())
    }
}

/// A series or release with the name of its variant, which is empty for the plain kernel.
pub fn label(number: impl fmt::Display, variant: &str) -> String {
    if variant.is_empty() { number.to_string() } else { format!("{number}-{variant}") }
}

/// Whether a word is a valid variant name.
pub(super) fn is_variant(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Host => f.write_str("host"),
            Selector::All => f.write_str("all"),
            Selector::Debug => f.write_str(debug::NAME),
            Selector::Major(major) => write!(f, "{major}.x"),
            Selector::Series(series, variant) => f.write_str(&label(series, variant)),
            Selector::Release(version, variant) => f.write_str(&label(version, variant)),
            Selector::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("host", Selector::Host)]
    #[case("all", Selector::All)]
    #[case("debug", Selector::Debug)]
    #[case("6.12-debug", Selector::Debug)]
    #[case("6.x", Selector::Major(6))]
    #[case("6.12", Selector::Series(Series::new(6, 12), String::new()))]
    #[case("6.12-16k", Selector::Series(Series::new(6, 12), "16k".into()))]
    #[case("6.12.107", Selector::Release(Version::new(6, 12, 107), String::new()))]
    #[case("6.12.107-16k", Selector::Release(Version::new(6, 12, 107), "16k".into()))]
    #[case("./6.12", Selector::Path("./6.12".into()))]
    #[case("/boot/vmlinuz-6.1.0", Selector::Path("/boot/vmlinuz-6.1.0".into()))]
    #[case("linux-image-6.12.107.deb", Selector::Path("linux-image-6.12.107.deb".into()))]
    #[case("vmlinuz-6.1.0", Selector::Path("vmlinuz-6.1.0".into()))]
    #[case("..", Selector::Path("..".into()))]
    fn selectors(#[case] text: &str, #[case] selector: Selector) {
        assert_eq!(text.parse(), Ok(selector));
    }

    #[rstest]
    #[case("")]
    #[case(".x")]
    #[case("+6.x")]
    #[case("6")]
    #[case("6.12.")]
    #[case("6.12.1.2")]
    #[case("6.12-")]
    #[case("6.12-16k-x")]
    #[case("6.x-16k")]
    #[case("99999999999.1")]
    #[case("latest")]
    fn rubbish(#[case] text: &str) {
        assert_eq!(text.parse::<Selector>(), Err(NotASelector(text.to_owned())));
    }

    proptest! {
        #[test]
        fn display_round_trips(text in "host|all|[0-9]{1,3}\\.x|[1-9][0-9]{0,2}\\.[1-9]?[0-9](\\.[1-9]?[0-9])?(-[0-9]{1,2}k)?|/[a-z/]{1,12}") {
            let selector: Selector = text.parse().unwrap();
            prop_assert_eq!(selector.to_string().parse(), Ok(selector));
        }

        #[test]
        fn never_panics(text in "\\PC{0,20}") {
            let _ = text.parse::<Selector>();
        }
    }
}
