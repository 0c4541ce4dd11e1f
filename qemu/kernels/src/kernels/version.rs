//! Kernel versions as numbers: a *series* (`6.12`) and a *point release* (`6.12.107`). Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A series of kernels that share the first two version numbers. Ordered by version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

/// A point release. The third number is 0 for the first release of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The series.
    pub series: Series,
    /// The third number.
    pub patch: u32,
}

/// The text is not a version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a kernel version: {0:?}")]
pub struct NotAVersion(pub String);

impl Series {
    /// A series from its numbers.
    pub const fn new(major: u32, minor: u32) -> Series {
        Series { major, minor }
    }
}

impl Version {
    /// A point release from its numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Version {
        Version { series: Series::new(major, minor), patch }
    }

    /// The version at the start of a longer text: `6.12.107-1`, `6.12.107+deb13-cloud-amd64`,
    /// `7.3-1~exp1`, `6.1~rc4`.
    pub fn prefix_of(text: &str) -> Option<Version> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = text[..end].trim_end_matches('.').split('.').map(|n| n.parse::<u32>().ok());
        let major = numbers.next()??;
        let minor = numbers.next()??;
        let patch = match numbers.next() {
            None => 0,
            Some(patch) => patch?,
        };
        Some(Version::new(major, minor, patch))
    }
}

fn exact_numbers<const N: usize>(text: &str) -> Option<[u32; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split('.');
    for number in &mut numbers {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

impl FromStr for Series {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Series, NotAVersion> {
        let [major, minor] = exact_numbers(text).ok_or_else(|| NotAVersion(text.to_owned()))?;
        Ok(Series { major, minor })
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    /// Exactly two or three numbers.
    fn from_str(text: &str) -> Result<Version, NotAVersion> {
        if let Some([major, minor, patch]) = exact_numbers(text) {
            return Ok(Version::new(major, minor, patch));
        }
        let series: Series = text.parse()?;
        Ok(Version { series, patch: 0 })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.series, self.patch)
    }
}

macro_rules! serde_as_text {
    ($($ty:ty),*) => {$(
        impl Serialize for $ty {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $ty {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(Series, Version);

/// Compares two Debian package versions (`deb-version(7)`), which distinguish kernel packages of
/// one point release.
pub fn compare_debian(a: &str, b: &str) -> std::cmp::Ordering {
    let split = |v: &str| {
        let (epoch, rest) = match v.split_once(':') {
            Some((epoch, rest)) => (epoch.parse::<u64>().unwrap_or(0), rest.to_owned()),
            None => (0, v.to_owned()),
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((upstream, revision)) => (upstream.to_owned(), revision.to_owned()),
            None => (rest, String::new()),
        };
        (epoch, upstream, revision)
    };
    let (a, b) = (split(a), split(b));
    a.0.cmp(&b.0).then_with(|| compare_part(&a.1, &b.1)).then_with(|| compare_part(&a.2, &b.2))
}

/// Compares one part of a Debian version: alternating non-numeric and numeric runs; `~` sorts
/// before the end, letters before other characters.
fn compare_part(a: &str, b: &str) -> std::cmp::Ordering {
    let weight = |c: Option<u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(c),
        Some(c) => i32::from(c) + 256,
    };
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        while a.first().is_some_and(|c| !c.is_ascii_digit()) || b.first().is_some_and(|c| !c.is_ascii_digit())
        {
            let order = weight(a.first().copied()).cmp(&weight(b.first().copied()));
            if order.is_ne() {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (number_a, rest_a) = number(a);
        let (number_b, rest_b) = number(b);
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
        if a.is_empty() && b.is_empty() {
            return std::cmp::Ordering::Equal;
        }
    }
}

/// The leading digits without leading zeros, and the remaining text.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|&&c| c == b'0').count();
    (&digits[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("6.12.107-1", Some(Version::new(6, 12, 107)))]
    #[case("6.12.107+deb13-cloud-amd64", Some(Version::new(6, 12, 107)))]
    #[case("7.3-1~exp1", Some(Version::new(7, 3, 0)))]
    #[case("5.10.0-32-cloud-amd64", Some(Version::new(5, 10, 0)))]
    #[case("6.1~rc4", Some(Version::new(6, 1, 0)))]
    #[case("6", None)]
    #[case("amd64", None)]
    fn prefixes(#[case] text: &str, #[case] version: Option<Version>) {
        assert_eq!(Version::prefix_of(text), version);
    }

    #[rstest]
    #[case("6.12.95-1~bpo12+1", "6.12.95-1")]
    #[case("6.12.9-1", "6.12.10-1")]
    #[case("6.12.90-1", "6.12.90-2")]
    #[case("6.12~rc1-1", "6.12-1")]
    #[case("7.3-1~exp1", "7.3.4-1")]
    #[case("6.12.90-1", "1:6.1-1")]
    #[case("6.12.90+deb12-1", "6.12.90+deb12.1-1")]
    fn debian_order(#[case] older: &str, #[case] newer: &str) {
        assert!(compare_debian(older, newer).is_lt());
        assert!(compare_debian(newer, older).is_gt());
        assert!(compare_debian(older, older).is_eq());
    }

    proptest! {
        #[test]
        fn text_round_trips(major in 0u32..100, minor in 0u32..1000, patch in 0u32..10_000) {
            let version = Version::new(major, minor, patch);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
            prop_assert_eq!(version.series.to_string().parse(), Ok(version.series));
            prop_assert_eq!(Version::prefix_of(&format!("{version}+deb13-amd64")), Some(version));
        }

        #[test]
        fn debian_order_is_total(a in "[0-9a-z.+~-]{0,12}", b in "[0-9a-z.+~-]{0,12}") {
            prop_assert_eq!(compare_debian(&a, &b), compare_debian(&b, &a).reverse());
        }
    }
}
