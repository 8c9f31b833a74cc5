//! The `[distill]` table of a pipeline.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// The `[distill]` table of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistillConfig {
    /// Tokens that the teacher scores for the student to be fitted to, about; spread evenly over the sources, and drawn by units.
    pub tokens: f64,
    /// The sources that they are drawn from; all if none is named.
    pub sources: Vec<String>,
    /// What the student must reach in every domain, 0 to 1, of the rank correlation that the teacher reaches against itself. Below it the
    /// student is refused.
    pub min_fidelity: f64,
}

impl Default for DistillConfig {
    fn default() -> Self {
        Self { tokens: 2e6, sources: Vec::new(), min_fidelity: 0.9 }
    }
}

impl DistillConfig {
    /// Validates what needs no corpus.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), Error> {
        if !(self.tokens.is_finite() && self.tokens >= 1.0) {
            let value = self.tokens.to_string();
            return Err(Error::Config { key: "distill.tokens", value, rule: "it is a number of tokens, at least 1" });
        }
        if !(0.0..=1.0).contains(&self.min_fidelity) {
            let value = self.min_fidelity.to_string();
            return Err(Error::Config { key: "distill.min_fidelity", value, rule: "it is a share, from 0 to 1" });
        }
        Ok(())
    }
}
