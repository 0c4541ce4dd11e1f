//! The machine's apt sources, used to find its Debian archive. Both formats of `sources.list(5)`;
//! the parsers are pure.

use std::path::{Path, PathBuf};

/// The relevant fields of one apt source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AptSource {
    /// Base addresses, as written.
    pub uris: Vec<String>,
    /// Suites, as written.
    pub suites: Vec<String>,
    /// Components (`main` …).
    pub components: Vec<String>,
    /// Its `Signed-By` keyring file; absent if not given.
    pub signed_by: Option<PathBuf>,
}

/// An archive to fetch kernels from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Base address, without a trailing slash.
    pub base: String,
    /// The `Signed-By` keyring file of its source.
    pub keyring: Option<PathBuf>,
}

/// Parses a file of the one-line format (`deb [options] uri suite component…`).
pub fn parse_one_line(text: &str) -> Vec<AptSource> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
            let mut source = AptSource::default();
            if let Some(tail) = rest.strip_prefix('[') {
                let (options, tail) = tail.split_once(']')?;
                rest = tail.trim_start();
                source.signed_by = options
                    .split_whitespace()
                    .find_map(|option| option.strip_prefix("signed-by="))
                    .filter(|path| path.starts_with('/'))
                    .map(PathBuf::from);
            }
            let mut words = rest.split_whitespace().map(str::to_owned);
            source.uris = vec![words.next()?];
            source.suites = vec![words.next()?];
            source.components = words.collect();
            Some(source)
        })
        .collect()
}

/// Parses a file of the deb822 format (stanzas of `Field: value`).
pub fn parse_deb822(text: &str) -> Vec<AptSource> {
    super::control::stanzas(text)
        .filter_map(|stanza| {
            let words = |field| -> Vec<String> {
                stanza.get(field).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
            };
            let enabled = !matches!(
                stanza.get("Enabled").unwrap_or("yes").to_ascii_lowercase().as_str(),
                "no" | "false" | "off" | "0"
            );
            (enabled && words("Types").iter().any(|t| t == "deb")).then(|| AptSource {
                uris: words("URIs"),
                suites: words("Suites"),
                components: words("Components"),
                signed_by: stanza.get("Signed-By").filter(|path| path.starts_with('/')).map(PathBuf::from),
            })
        })
        .collect()
}

/// The archives among `sources` that serve `main` of a suite in `known` (by name, or by an alias
/// such as `stable`), in their order. Security archives are left out: they have no kernels of these
/// suites.
pub fn debian_mirrors(sources: &[AptSource], known: &[&str]) -> Vec<Mirror> {
    const ALIASES: &[&str] =
        &["oldoldstable", "oldstable", "stable", "testing", "unstable", "sid", "experimental"];
    let mut mirrors: Vec<Mirror> = Vec::new();
    for source in sources {
        let base_suite = |suite: &str| {
            let base = suite.strip_suffix("-backports").or(suite.strip_suffix("-updates")).unwrap_or(suite);
            known.contains(&base) || ALIASES.contains(&base)
        };
        if source.components.iter().any(|c| c == "main") && source.suites.iter().any(|s| base_suite(s)) {
            for uri in &source.uris {
                let base = uri.trim_end_matches('/').to_owned();
                if !mirrors.iter().any(|m| m.base == base) {
                    mirrors.push(Mirror { base, keyring: source.signed_by.clone() });
                }
            }
        }
    }
    mirrors
}

/// Reads every source file below an apt configuration directory (`/etc/apt`). Unreadable files are
/// skipped: apt itself reports them.
pub fn read(etc_apt: &Path) -> Vec<AptSource> {
    let mut files = vec![etc_apt.join("sources.list")];
    if let Ok(entries) = std::fs::read_dir(etc_apt.join("sources.list.d")) {
        let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => sources.extend(parse_one_line(&text)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            _ => {}
        }
    }
    sources
}

/// Replaces addresses of apt's `mirror+file:` method by the addresses in the list file.
pub fn expand_mirror_lists(mirrors: Vec<Mirror>) -> Vec<Mirror> {
    let mut expanded = Vec::new();
    for mirror in mirrors {
        match mirror.base.strip_prefix("mirror+file:") {
            None => expanded.push(mirror),
            Some(list) => {
                let path = format!("/{}", list.trim_start_matches('/'));
                let text = std::fs::read_to_string(path).unwrap_or_default();
                expanded.extend(
                    text.lines()
                        .filter_map(|line| line.split_whitespace().next())
                        .filter(|uri| !uri.starts_with('#'))
                        .map(|uri| Mirror { base: uri.trim_end_matches('/').to_owned(), ..mirror.clone() }),
                );
            }
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["bullseye", "bookworm", "trixie"];

    #[test]
    fn one_line() {
        let sources = parse_one_line(
            "# comment\n\
             deb http://archive.example/debian/ bookworm main contrib # trailing\n\
             deb-src http://archive.example/debian bookworm main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] https://other.example/apt nodistro main\n\
             deb [broken http://x y\n\
             nonsense\n",
        );
        insta::assert_debug_snapshot!(sources);
        let bases: Vec<_> = debian_mirrors(&sources, KNOWN).into_iter().map(|m| m.base).collect();
        assert_eq!(bases, ["http://archive.example/debian"]);
    }

    #[test]
    fn deb822() {
        let sources = parse_deb822(
            "Types: deb\n# a note\nURIs: http://archive.example/debian\nSuites: bookworm bookworm-updates\n\
             Components: main\nSigned-By: /usr/share/keyrings/k.gpg\n\n\
             Types: deb deb-src\nURIs: http://archive.example/debian-security\nSuites: bookworm-security\n\
             Components: main\n\n\
             Enabled: no\nTypes: deb\nURIs: http://off.example/\nSuites: bookworm\nComponents: main\n\n\
             Types: deb\nURIs: http://third.example/\nSuites: stable\nComponents: main\nSigned-By:\n -----BEGIN\n .\n",
        );
        insta::assert_debug_snapshot!(sources);
        let bases: Vec<_> = debian_mirrors(&sources, KNOWN).into_iter().map(|m| m.base).collect();
        assert_eq!(bases, ["http://archive.example/debian", "http://third.example"]);
    }

    #[test]
    fn mirror_lists_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        std::fs::write(&list, "# one\nhttp://a.example/debian/\tpriority:1\nhttp://b.example/debian\n")
            .unwrap();
        let mirror = Mirror { base: format!("mirror+file:{}", list.display()), keyring: None };
        let bases: Vec<_> = expand_mirror_lists(vec![mirror]).into_iter().map(|m| m.base).collect();
        assert_eq!(bases, ["http://a.example/debian", "http://b.example/debian"]);
    }
}
