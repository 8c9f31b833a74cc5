//! The text of a document.

use std::fmt;
use std::ops::Deref;

use parquet::data_type::ByteArray;

/// A text, where the decoder left it: a long one is not copied.
#[derive(Clone, PartialEq)]
pub struct Text(ByteArray);

impl Text {
    /// The text in `bytes`; `None` if they are not UTF-8.
    pub(crate) fn new(bytes: ByteArray) -> Option<Self> {
        std::str::from_utf8(bytes.data()).is_ok().then_some(Self(bytes))
    }

    /// Bytes of the text, without looking at them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Eq for Text {}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        // it was checked when it was made
        std::str::from_utf8(self.0.data()).unwrap_or_default()
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
