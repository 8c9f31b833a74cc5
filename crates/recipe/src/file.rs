//! One file of a recipe, as bytes.

/// One file of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipeFile {
    /// Path relative to the run's output, such as `recipe/hf/mixture.json`.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl RecipeFile {
    pub(crate) fn new(path: &str, text: String) -> Self {
        Self { path: path.to_owned(), bytes: text.into_bytes() }
    }
}
