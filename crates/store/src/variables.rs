//! The environment variables that a caller hands in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Variables by name.
#[derive(Clone, Default)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    pub(crate) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The value of `name`; `None` if it is not set, or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `path` with the home folder for a `~` that it begins with, as shells have it.
    pub(crate) fn expanded<'a>(&self, path: &'a str) -> Cow<'a, str> {
        match (path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')), self.get("HOME")) {
            (Some(rest), Some(home)) => Cow::Owned(format!("{home}{rest}")),
            _ => Cow::Borrowed(path),
        }
    }

    /// Those whose names begin with `prefix` and, in lower case, are settings of a store's client; in the order of their names.
    pub(crate) fn settings<K: FromStr>(&self, prefix: &'static str) -> impl Iterator<Item = (K, &str)> {
        let named = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        named.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }
}

impl fmt::Debug for Variables {
    /// Names alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder_at_the_beginning_alone() {
        let variables = Variables::new([("HOME".to_owned(), "/home/a".to_owned())]);
        for (path, expected) in [("~/m", "/home/a/m"), ("~", "/home/a"), ("~b/m", "~b/m"), ("m/~/m", "m/~/m"), ("", "")]
        {
            assert_eq!(variables.expanded(path), expected);
        }
        assert_eq!(Variables::default().expanded("~/m"), "~/m");
    }
}
