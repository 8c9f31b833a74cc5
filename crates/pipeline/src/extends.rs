//! A TOML file and the files that it extends, read as one.
//!
//! `extends = "other.toml"` at the top of a file takes everything from the other file, which may extend a third, and lets this file
//! say otherwise: tables are joined key by key, anything else is replaced, lists and what stands in braces as a whole.
//!
//! The texts are thought of as one long text, the file that was asked for first, so that a span says which file it is in.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use crate::explain::explain_file;
use crate::written::Written;
use crate::{Error as PipelineError, Result};

/// The key that names the file to extend.
pub(crate) const EXTENDS: &str = "extends";

/// Strings at the top of a file whose names are as like [`EXTENDS`] as this are taken for it (Jaro-Winkler similarity).
const NEAR: f64 = 0.8;

/// A TOML file and the files that it extends.
#[derive(Debug)]
pub(crate) struct Extended {
    /// The file that was asked for, what it extends, and so on.
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// The path without links and detours.
    canonical: PathBuf,
    /// Its text, after as many blanks as there are bytes in the files before it.
    text: String,
    /// How many.
    start: usize,
}

impl Extended {
    /// Reads the file at `path`, called `what` if it cannot be read, and all that it extends.
    pub(crate) fn read(path: &Path, what: &'static str) -> Result<Self> {
        let first = File::read(path, 0).map_err(|source| PipelineError::Read { what, source })?;
        let mut all = Self { files: vec![first] };
        while let Some((extended, line)) = all.last().extended()? {
            let last = all.last();
            let path = last.path.with_file_name(&extended);
            let unreadable = |source| PipelineError::ReadExtended { path: last.path.clone(), line, source };
            let next = File::read(&path, last.text.len() + 1).map_err(unreadable)?;
            let is_known = all.files.iter().any(|file| file.canonical == next.canonical);
            all.files.push(next);
            if is_known {
                let names: Vec<String> = all.files.iter().map(|file| file.path.display().to_string()).collect();
                return Err(PipelineError::ExtendsItself { chain: names.join(" extends ") });
            }
        }
        Ok(all)
    }

    /// What the files say together.
    pub(crate) fn to<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let mut merged = Spanned::new(0..0, DeTable::new());
        for file in self.files.iter().rev() {
            let table = DeTable::parse(&file.text)?;
            *merged.as_mut() = lay_over(std::mem::take(merged.get_mut()), table.into_inner(), &file.text);
        }
        merged.get_mut().remove(EXTENDS);
        T::deserialize(Written(Deserializer::from(merged)))
    }

    /// Names the file and line of an error of [`Extended::to`], and the nearest known key.
    pub(crate) fn explain(&self, error: &Error) -> PipelineError {
        let at = error.span().map(|span| span.start);
        let file = self.files.iter().rev().find(|file| at.is_some_and(|at| at >= file.start));
        file.unwrap_or(&self.files[0]).explain(error)
    }

    fn last(&self) -> &File {
        &self.files[self.files.len() - 1]
    }
}

impl File {
    fn read(path: &Path, start: usize) -> std::io::Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let text = format!("{:start$}{}", "", text.trim_start_matches('\u{feff}'));
        Ok(Self { path: path.to_owned(), canonical: fs_err::canonicalize(path)?, text, start })
    }

    fn explain(&self, error: &Error) -> PipelineError {
        let at = error.span().map(|span| span.start.saturating_sub(self.start));
        explain_file(&self.path, &self.text[self.start..], at, error.message())
    }

    /// The path that the file extends, as it is written, and the line that says so.
    fn extended(&self) -> Result<Option<(String, usize)>> {
        let table = DeTable::parse(&self.text).map_err(|error| self.explain(&error))?;
        let line = |at: usize| self.text[..at].matches('\n').count() + 1;
        let explain = |at: usize, message: &str| {
            Err(explain_file(&self.path, &self.text[self.start..], Some(at - self.start), message))
        };
        for (key, value) in table.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                (EXTENDS, DeValue::String(path)) => {
                    return Ok(Some((path.to_string(), line(key.span().start))));
                }
                (EXTENDS, _) => {
                    return explain(key.span().start, "`extends` takes the path of another file, in quotes");
                }
                (key_name, DeValue::String(_)) if strsim::jaro_winkler(key_name, EXTENDS) >= NEAR => {
                    let message = format!("unknown field `{key_name}`, expected `{EXTENDS}`");
                    return explain(key.span().start, &message);
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Lays the table `over`, which stands in `text`, over the table `under`.
fn lay_over<'a>(mut under: DeTable<'a>, over: DeTable<'a>, text: &str) -> DeTable<'a> {
    for (key, value) in over {
        let span = value.span();
        let is_braced = text[span.start..].starts_with('{');
        // removed first, since a key that stays would keep its place in the other file
        let value = match (under.remove(&key).map(Spanned::into_inner), value.into_inner()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) if !is_braced => {
                DeValue::Table(lay_over(below, above, text))
            }
            (_, value) => value,
        };
        under.insert(key, Spanned::new(span, value));
    }
    under
}

#[cfg(test)]
mod tests;
