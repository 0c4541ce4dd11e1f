//! A kernel's build configuration (`/boot/config-…`, `.config`). The parser is pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The options of a kernel. Empty if unknown (a bare `vmlinuz`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KernelConfig(BTreeMap<String, String>);

impl KernelConfig {
    /// Parses a configuration file. Disabled options are omitted.
    pub fn parse(text: &str) -> KernelConfig {
        let options = text.lines().filter_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            name.starts_with("CONFIG_").then(|| (name.to_owned(), value.trim_matches('"').to_owned()))
        });
        KernelConfig(options.collect())
    }

    /// Whether the configuration is known.
    pub fn is_known(&self) -> bool {
        !self.0.is_empty()
    }

    /// An option's value (`y`, `m`, a number, a string without its quotes), by its full name
    /// (`CONFIG_…`).
    pub fn get(&self, option: &str) -> Option<&str> {
        self.0.get(option).map(String::as_str)
    }

    /// Whether an option is enabled, built in or as a module.
    pub fn enabled(&self, option: &str) -> bool {
        matches!(self.get(option), Some("y" | "m"))
    }

    /// Whether an option is built in.
    pub fn built_in(&self, option: &str) -> bool {
        self.get(option) == Some("y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let config = KernelConfig::parse(
            "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=m\nCONFIG_D=\"x y\"\nCONFIG_E=6\n\n",
        );
        assert_eq!(config.get("CONFIG_A"), None);
        assert!(config.enabled("CONFIG_B") && config.built_in("CONFIG_B"));
        assert!(config.enabled("CONFIG_C") && !config.built_in("CONFIG_C"));
        assert_eq!(config.get("CONFIG_D"), Some("x y"));
        assert_eq!(config.get("CONFIG_E"), Some("6"));
        assert!(config.is_known() && !KernelConfig::default().is_known());
    }
}
