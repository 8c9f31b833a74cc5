//! `student.json`: what predicts the scores of a teacher.

use headwater_record::{ContentHash, StudentFile};

use crate::json::{decode, encode};
use crate::{Result, RunFolder};

impl RunFolder {
    /// The student of the run and the hash of its file, if it has one.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] if the file cannot be understood; what the store says.
    pub fn student(&self) -> Result<Option<(StudentFile, ContentHash)>> {
        let Some(bytes) = self.place().read_if_exists(Self::STUDENT)? else { return Ok(None) };
        Ok(Some((decode(Self::STUDENT, &bytes)?, ContentHash::of(&bytes))))
    }

    /// Writes the student of the run; returns the hash of its file.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_student(&self, student: &StudentFile) -> Result<ContentHash> {
        let bytes = encode(Self::STUDENT, student)?;
        let hash = ContentHash::of(&bytes);
        self.place().write(Self::STUDENT, bytes)?;
        Ok(hash)
    }

    /// Keeps a student that was refused, to be looked at.
    ///
    /// # Errors
    /// What the store says.
    pub fn write_weak_student(&self, student: &StudentFile) -> Result<()> {
        self.write_json(Self::WEAK_STUDENT, student)
    }
}
