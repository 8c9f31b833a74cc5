//! The files in a folder of recipes: those of an earlier recipe are replaced or removed, others are refused and stay.
//!
//! A manifest holds the hash of each file as it was written, so that a file that a user wrote or changed is told from one of ours. While
//! files are replaced, it holds the hashes of both versions, so that a command that was killed can be run again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use headwater_recipe::recipe_paths;
use headwater_record::ContentHash;
use headwater_run::RunFolder;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a folder of recipes holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// The hashes of each file, which is one unless the file is being replaced, by the file's path in the folder.
    files: BTreeMap<String, BTreeSet<ContentHash>>,
}

/// Writes `files`, by their paths in the run, of the recipes in the folder `recipes` of the run, and removes those that an earlier recipe left
/// there; returns the path of the manifest. Files outside the folder are replaced.
///
/// # Errors
/// [`Error::ForeignRecipeFiles`] if the folder has files by the names of recipes that were not written by a recipe, or changed since: then
/// nothing is written. What the store says.
pub(super) fn write(run: &RunFolder, recipes: &str, files: &[(String, Bytes)]) -> Result<String> {
    let place = run.place().child(recipes);
    let manifest_path = format!("{recipes}/{MANIFEST}");
    let earlier = run.read_json::<Manifest>(&manifest_path)?.unwrap_or_default();
    let inside = |path: &str| path.strip_prefix(recipes).and_then(|path| path.strip_prefix('/')).map(str::to_owned);
    let hashes =
        files.iter().filter_map(|(path, bytes)| Some((inside(path)?, BTreeSet::from([ContentHash::of(bytes)]))));
    let wanted = Manifest { files: hashes.collect() };
    let both = earlier.and(&wanted);

    let named: BTreeSet<String> = recipe_paths().chain(both.files.keys().cloned()).collect();
    let present = place.list("")?.into_iter().map(|entry| entry.path);
    let present: Vec<String> = present.filter(|path| named.contains(path)).collect();
    let mut foreign = Vec::new();
    for path in &present {
        let is_ours = place
            .read_if_exists(path)?
            .is_none_or(|bytes| both.files.get(path).is_some_and(|hashes| hashes.contains(&ContentHash::of(&bytes))));
        if !is_ours {
            foreign.push(place.describe(path));
        }
    }
    if !foreign.is_empty() {
        return Err(Error::ForeignRecipeFiles { files: foreign });
    }

    run.write_json(&manifest_path, &both)?;
    files.iter().try_for_each(|(path, bytes)| run.place().write(path, bytes.clone()))?;
    present.iter().filter(|path| !wanted.files.contains_key(*path)).try_for_each(|path| place.remove(path))?;
    run.write_json(&manifest_path, &wanted)?;
    Ok(manifest_path)
}

/// The manifest's name in its folder.
const MANIFEST: &str = "manifest.json";

impl Manifest {
    /// The files of both, with the hashes of both.
    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (path, hashes) in &other.files {
            both.files.entry(path.clone()).or_default().extend(hashes);
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use headwater_store::Stores;

    use super::*;

    type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

    struct Folder {
        disk: tempfile::TempDir,
        run: RunFolder,
    }

    impl Folder {
        fn new() -> std::result::Result<Self, Box<dyn std::error::Error>> {
            let disk = tempfile::tempdir()?;
            let run = RunFolder::new(Stores::from_variables([]).open(&disk.path().display().to_string())?);
            Ok(Self { disk, run })
        }

        /// Writes recipes of these files, each with the same text.
        fn recipes(&self, paths: &[&str], text: &'static str) -> Result<String> {
            let files: Vec<_> =
                paths.iter().map(|path| ((*path).to_owned(), Bytes::from_static(text.as_bytes()))).collect();
            write(&self.run, "recipe", &files)
        }

        fn set(&self, path: &str, text: &str) -> std::io::Result<()> {
            let path = self.disk.path().join(path);
            fs_err::create_dir_all(path.parent().expect("a folder"))?;
            fs_err::write(path, text)
        }

        fn present(&self) -> std::result::Result<Vec<String>, Box<dyn std::error::Error>> {
            Ok(self.run.place().list("")?.into_iter().map(|entry| entry.path).collect())
        }
    }

    #[test]
    fn what_an_earlier_recipe_left_is_removed_and_what_others_put_there_stays() -> Outcome {
        let folder = Folder::new()?;
        folder.recipes(
            &["schedule.csv", "recipe/nanotron/config.yaml", "recipe/nanotron/config_2.yaml", "recipe/hf/train.py"],
            "1",
        )?;
        folder.set("recipe/hf/tokenizer/tokenizer.json", "{}")?;
        folder.set("recipe/nanotron/notes.txt", "mine")?;
        folder.recipes(&["schedule.csv", "recipe/nanotron/config.yaml"], "2")?;
        let expected = ["hf/tokenizer/tokenizer.json", "manifest.json", "nanotron/config.yaml", "nanotron/notes.txt"];
        let expected: Vec<_> =
            expected.iter().map(|path| format!("recipe/{path}")).chain(["schedule.csv".to_owned()]).collect();
        assert_eq!(folder.present()?, expected);
        assert_eq!(folder.run.place().read("recipe/nanotron/config.yaml")?, "2");
        Ok(())
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_before_anything_is_written() -> Outcome {
        let folder = Folder::new()?;
        folder.recipes(&["recipe/hf/train.py", "recipe/nanotron/config.yaml"], "1")?;
        for foreign in ["recipe/hf/train.py", "recipe/nanotron/config.yaml", "recipe/nanotron/config_2.yaml"] {
            folder.set(foreign, "edited")?;
            let error = folder.recipes(&["recipe/hf/train.py"], "2").expect_err(foreign).to_string();
            assert!(error.contains(foreign) && error.contains("move"), "{error}");
            assert_eq!(folder.run.place().read(foreign)?, "edited");
            fs_err::remove_file(folder.disk.path().join(foreign))?;
            folder.recipes(&["recipe/hf/train.py", "recipe/nanotron/config.yaml"], "1")?;
        }
        // the same content is no change
        folder.set("recipe/hf/train.py", "2")?;
        folder.recipes(&["recipe/hf/train.py"], "2")?;
        Ok(())
    }

    #[test]
    fn a_command_that_was_killed_is_run_again() -> Outcome {
        let folder = Folder::new()?;
        folder.recipes(&["recipe/hf/train.py", "recipe/hf/README.md"], "1")?;
        // a folder in place of the second file ends the command after the first
        let second = folder.disk.path().join("recipe/hf/mixture.json");
        fs_err::create_dir_all(second.join("in the way"))?;
        assert!(folder.recipes(&["recipe/hf/train.py", "recipe/hf/mixture.json", "recipe/hf/README.md"], "2").is_err());
        fs_err::remove_dir_all(&second)?;
        folder.recipes(&["recipe/hf/train.py"], "3")?;
        assert_eq!(folder.present()?, ["recipe/hf/train.py", "recipe/manifest.json"]);
        Ok(())
    }
}
