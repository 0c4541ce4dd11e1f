//! Ordering of kernel releases, and ranges of them: `>=5.10, <6.1`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A kernel release reduced to the numbers that determine its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Release {
    /// Parses the leading numbers of a `uname -r` string: `6.12.107+deb13-cloud-amd64` is 6.12.107,
    /// `7.3` is 7.3.0.
    pub fn parse(text: &str) -> Option<Release> {
        let digits = |part: &str| -> Option<u32> {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        };
        let mut parts = text.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor_text = parts.next()?;
        let minor = digits(minor_text)?;
        // `6.12-rc3` ends after the minor number, whatever follows.
        let patch =
            if minor_text.bytes().all(|b| b.is_ascii_digit()) { parts.next().and_then(digits) } else { None };
        Some(Release { major, minor, patch: patch.unwrap_or(0) })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A conjunction of comparisons: `>=5.10, <6.1`; `6.12` alone means every release of that series;
/// `*` everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRange(Vec<Bound>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    relation: Relation,
    /// Two numbers compare with the series, three with the point release.
    numbers: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    LessEqual,
    Equal,
    GreaterEqual,
    Greater,
}

impl KernelRange {
    /// Whether the range contains no release. A non-empty range contains a release at or next to
    /// one of its bounds.
    fn is_empty(&self) -> bool {
        const MOST: u32 = u32::MAX;
        let before = |[major, minor, patch]: [u32; 3]| match (major, minor, patch) {
            (_, _, 1..) => [major, minor, patch - 1],
            (_, 1.., 0) => [major, minor - 1, MOST],
            _ => [major.saturating_sub(1), MOST, MOST],
        };
        let after = |[major, minor, patch]: [u32; 3]| {
            if patch < MOST {
                [major, minor, patch + 1]
            } else if minor < MOST {
                [major, minor + 1, 0]
            } else {
                [major.saturating_add(1), 0, 0]
            }
        };
        let beside = |bound: &Bound| {
            let padded = |with: u32| [0, 1, 2].map(|at| bound.numbers.get(at).copied().unwrap_or(with));
            let (first, last) = (padded(0), padded(MOST));
            [before(first), first, last, after(last)]
        };
        let near = self.0.iter().flat_map(beside);
        let is_inside = |[major, minor, patch]: [u32; 3]| self.contains(Release { major, minor, patch });
        !self.0.is_empty() && !near.into_iter().any(is_inside)
    }

    /// Whether the release is in the range.
    pub fn contains(&self, release: Release) -> bool {
        self.0.iter().all(|bound| {
            let numbers = [release.major, release.minor, release.patch];
            // Compares only as many numbers as the bound has: `<=6.12` includes 6.12.107.
            let order = numbers[..bound.numbers.len()].cmp(&bound.numbers[..]);
            match bound.relation {
                Relation::Less => order == Ordering::Less,
                Relation::LessEqual => order != Ordering::Greater,
                Relation::Equal => order == Ordering::Equal,
                Relation::GreaterEqual => order != Ordering::Less,
                Relation::Greater => order == Ordering::Greater,
            }
        })
    }
}

/// Text that is not a valid kernel range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a kernel range, or contains no kernel: expected comparisons like `>=5.10, <6.1`, a series like `6.12`, or `*`"
)]
pub struct BadRange(String);

impl FromStr for KernelRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadRange(text.to_owned());
        if text.trim() == "*" {
            return Ok(KernelRange(Vec::new()));
        }
        let mut bounds = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let (relation, rest) = [
                ("<=", Relation::LessEqual),
                (">=", Relation::GreaterEqual),
                ("<", Relation::Less),
                (">", Relation::Greater),
                ("=", Relation::Equal),
            ]
            .into_iter()
            .find_map(|(sign, relation)| part.strip_prefix(sign).map(|rest| (relation, rest)))
            .unwrap_or((Relation::Equal, part));
            let numbers =
                rest.trim().split('.').map(str::parse).collect::<Result<Vec<u32>, _>>().map_err(|_| bad())?;
            if numbers.len() > 3 {
                return Err(bad());
            }
            bounds.push(Bound { relation, numbers });
        }
        let range = KernelRange(bounds);
        if range.is_empty() { Err(BadRange(text.to_owned())) } else { Ok(range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("6.12.107+deb13-cloud-amd64", Some((6, 12, 107)))]
    #[case("5.10.0-39-cloud-amd64", Some((5, 10, 0)))]
    #[case("7.3", Some((7, 3, 0)))]
    #[case("6.19-rc4", Some((6, 19, 0)))]
    #[case("host", None)]
    #[case("6", None)]
    fn release(#[case] text: &str, #[case] wanted: Option<(u32, u32, u32)>) {
        let wanted = wanted.map(|(major, minor, patch)| Release { major, minor, patch });
        assert_eq!(Release::parse(text), wanted);
    }

    #[rstest]
    #[case(">=5.10, <6.1", "5.10.200", true)]
    #[case(">=5.10, <6.1", "6.0.3", true)]
    #[case(">=5.10, <6.1", "6.1.0", false)]
    #[case("<=6.12", "6.12.107", true)]
    #[case(">6.12", "6.12.107", false)]
    #[case("6.12", "6.12.1", true)]
    #[case("=6.12.2", "6.12.1", false)]
    #[case("7", "7.3", true)]
    #[case("*", "4.19", true)]
    fn range_contains(#[case] range: &str, #[case] release: &str, #[case] inside: bool) {
        let range: KernelRange = range.parse().unwrap();
        assert_eq!(range.contains(Release::parse(release).unwrap()), inside);
    }

    #[rstest]
    #[case("")]
    #[case("new")]
    #[case(">=")]
    #[case("6.12.1.2")]
    #[case("6.12,")]
    #[case(">=7, <6")]
    #[case(">6.12, <6.12.5")]
    #[case("=6.12.3, =6.12.4")]
    fn bad_range(#[case] text: &str) {
        assert_eq!(text.parse::<KernelRange>().unwrap_err(), BadRange(text.to_owned()));
    }

    proptest! {
        #[test]
        fn bounds_split_the_releases(
            a in (0u32..9, 0u32..40), r in (0u32..9, 0u32..40, 0u32..300),
        ) {
            let release = Release { major: r.0, minor: r.1, patch: r.2 };
            let inside = |sign: &str| {
                let range = format!("{sign}{}.{}", a.0, a.1).parse::<KernelRange>();
                // No release precedes 0.0.
                assert_eq!(range.is_err(), sign == "<" && a == (0, 0));
                range.is_ok_and(|range| range.contains(release))
            };
            prop_assert_eq!(inside("<") as u8 + inside("=") as u8 + inside(">") as u8, 1);
            prop_assert_eq!(inside("<="), inside("<") || inside("="));
            prop_assert_eq!(inside(">="), !inside("<"));
        }

        #[test]
        fn parsing_never_panics(text in ".{0,30}") {
            let _ = text.parse::<KernelRange>();
            let _ = Release::parse(&text);
        }
    }
}
