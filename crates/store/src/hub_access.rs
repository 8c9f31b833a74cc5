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

/// The user's token: `HF_TOKEN`, else a file in `HF_HOME`, else one below the home folder.
pub(crate) fn token(variables: &Variables) -> Option<String> {
    if let Some(token) = variables.get("HF_TOKEN") {
        return Some(token.trim().to_owned());
    }
    let of_user = || Some(Path::new(variables.get("HOME")?).join(".cache/huggingface"));
    let folder = variables.get("HF_HOME").map(PathBuf::from).or_else(of_user)?;
    // a file that is not there says nothing
    let token = fs::read_to_string(folder.join("token")).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
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
        Ok(())
    }
}
