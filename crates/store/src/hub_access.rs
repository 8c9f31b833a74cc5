//! Where the Hugging Face hub is, and what opens it, as the hub's own tools find both.

use std::path::{Path, PathBuf};

use fs_err as fs;
use url::Url;

use crate::variables::Variables;

/// The hub where no other is named.
const ENDPOINT: &str = "https://huggingface.co";

/// The hub's address: `HF_ENDPOINT`, or else the usual one.
pub(crate) fn endpoint(variables: &Variables) -> &str {
    variables.get("HF_ENDPOINT").unwrap_or(ENDPOINT)
}

/// The address below `endpoint` whose path has these parts, in each of which a `/` is escaped; `None` if `endpoint` has no paths.
pub(crate) fn address<'a>(endpoint: &Url, parts: impl IntoIterator<Item = &'a str>) -> Option<Url> {
    let mut url = endpoint.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(parts);
    Some(url)
}

/// The user's token: `HF_TOKEN` or its older name, else the file that `HF_TOKEN_PATH` names, else one in `HF_HOME` or below the home folder.
pub(crate) fn token(variables: &Variables) -> Option<String> {
    if let Some(token) = variables.get("HF_TOKEN").or_else(|| variables.get("HUGGING_FACE_HUB_TOKEN")) {
        return Some(token.trim().to_owned());
    }
    let named = variables.get("HF_TOKEN_PATH").map(PathBuf::from);
    let path = named.or_else(|| Some(home(variables)?.join("token")))?;
    // a file that is not there says nothing
    let token = fs::read_to_string(path).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}

/// The folder of the hub's tools.
fn home(variables: &Variables) -> Option<PathBuf> {
    let of_user = || Some(Path::new(variables.get("HOME")?).join(".cache"));
    let caches = || variables.get("XDG_CACHE_HOME").map(PathBuf::from).or_else(of_user);
    variables.get("HF_HOME").map(PathBuf::from).or_else(|| Some(caches()?.join("huggingface")))
}

/// Whether the hub must not be asked.
pub(crate) fn is_offline(variables: &Variables) -> bool {
    let is_true = |value: &str| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str());
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].iter().any(|name| variables.get(name).is_some_and(is_true))
}

/// The folder in which the hub's tools keep the files of `revision` of a repository, `owner/name`, if they keep any.
///
/// # Source
/// <https://huggingface.co/docs/huggingface_hub/guides/manage-cache>.
pub(crate) fn snapshot(variables: &Variables, repository: &str, revision: &str) -> Option<PathBuf> {
    let named = variables.get("HF_HUB_CACHE").or_else(|| variables.get("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
    let cache = named.or_else(|| Some(home(variables)?.join("hub")))?;
    let folder = cache.join(format!("models--{}", repository.replace('/', "--")));
    let commit = fs::read_to_string(folder.join("refs").join(revision)).unwrap_or_else(|_| revision.to_owned());
    Some(folder.join("snapshots").join(commit.trim())).filter(|snapshot| snapshot.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_variable_or_in_a_file_of_the_hubs_tools() -> std::result::Result<(), Box<dyn std::error::Error>>
    {
        let home = tempfile::tempdir()?;
        let below = |path: &str| home.path().join(path).display().to_string();
        let found = |pairs: &[(&str, &str)]| {
            token(&Variables::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))))
        };
        fs::create_dir_all(below(".cache/huggingface"))?;
        fs::create_dir_all(below("hf"))?;
        assert_eq!(found(&[("HOME", &below(""))]), None);
        fs::write(below(".cache/huggingface/token"), "of the user\n")?;
        fs::write(below("hf/token"), "of the folder\n")?;
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("HOME", &below(""))]).as_deref(), Some("of the user"));
        assert_eq!(found(&[("HOME", &below("")), ("HF_HOME", &below("hf"))]).as_deref(), Some("of the folder"));
        assert_eq!(found(&[("HF_HOME", &below("hf")), ("HF_TOKEN", "mine")]).as_deref(), Some("mine"));
        assert_eq!(found(&[("HUGGING_FACE_HUB_TOKEN", "older")]).as_deref(), Some("older"));
        let path = below("hf/token");
        assert_eq!(found(&[("HOME", &below("")), ("HF_TOKEN_PATH", &path)]).as_deref(), Some("of the folder"));
        Ok(())
    }

    #[test]
    fn a_snapshot_is_found_by_its_commit_and_by_what_points_to_it()
    -> std::result::Result<(), Box<dyn std::error::Error>> {
        let home = tempfile::tempdir()?;
        let variables = Variables::new([("HF_HOME".to_owned(), home.path().display().to_string())]);
        let folder = home.path().join("hub/models--owner--name");
        assert_eq!(snapshot(&variables, "owner/name", "main"), None);
        fs::create_dir_all(folder.join("snapshots/abc"))?;
        fs::create_dir_all(folder.join("refs/refs/pr"))?;
        fs::write(folder.join("refs/main"), "abc")?;
        fs::write(folder.join("refs/refs/pr/1"), "abc\n")?;
        for revision in ["main", "refs/pr/1", "abc"] {
            assert_eq!(snapshot(&variables, "owner/name", revision), Some(folder.join("snapshots/abc")));
        }
        assert_eq!(snapshot(&variables, "owner/name", "other"), None);
        let elsewhere = folder.parent().expect("a folder").display().to_string();
        let variables = Variables::new([("HF_HUB_CACHE".to_owned(), elsewhere)]);
        assert_eq!(snapshot(&variables, "owner/name", "main"), Some(folder.join("snapshots/abc")));
        for (value, expected) in [("1", true), ("on", true), ("0", false), ("", false)] {
            let variables = Variables::new([("HF_HUB_OFFLINE".to_owned(), value.to_owned())]);
            assert_eq!(is_offline(&variables), expected);
        }
        Ok(())
    }
}
