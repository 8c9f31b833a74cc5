//! A map by the names of parts, for trainers that know their data by name.

use headwater_record::tokens::TextPart;
use serde::{Serialize, Serializer};

/// A value for each of some parts, written as a map from their names, in their order.
#[derive(Debug)]
pub(crate) struct ByPart<T>(Vec<(TextPart, T)>);

impl<T> FromIterator<(TextPart, T)> for ByPart<T> {
    fn from_iter<I: IntoIterator<Item = (TextPart, T)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for ByPart<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(part, value)| (part.name(), value)))
    }
}
