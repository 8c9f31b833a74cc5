//! Scoring by a student: the one of the run, held against what the pipeline asks for.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use headwater_distill::{Prediction, features, predict};
use headwater_model::Tokenizer;
use headwater_record::run::ScoringInputs;
use headwater_record::{ContentHash, StudentFile};
use headwater_run::RunFolder;
use headwater_score::{DocumentScore, ModelHashes, Student, StudentDocument};

use crate::{Error, Pipeline, Result};

/// A student that is ready to score, with its teacher's tokenizer.
pub(crate) struct ReadyStudent {
    file: StudentFile,
    hash: ContentHash,
    pub(crate) tokenizer: Tokenizer,
    /// Domains that were met and that it was not fitted to.
    unlabelled: Mutex<BTreeSet<String>>,
}

impl Student for ReadyStudent {
    fn inputs(&self) -> ScoringInputs {
        ScoringInputs { student: Some(self.hash), ..self.file.teacher.clone() }
    }

    fn score(&self, document: StudentDocument<'_>, targets: usize) -> DocumentScore {
        let StudentDocument { domain, tokens, features } = document;
        self.warn_of_unlabelled(domain);
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let Prediction { loss_base, influence, influence_stderr } = predict(&self.file, domain, tokens, features);
        DocumentScore {
            targets,
            loss_base,
            loss_masked: loss_base * (1.0 + influence),
            influence,
            influence_stderr: Some(influence_stderr),
            windows: Vec::new(),
        }
    }
}

impl ReadyStudent {
    /// Says of each domain that has no labels, once, that nothing is known of its ranks.
    fn warn_of_unlabelled(&self, domain: &str) {
        if self.file.fidelity.domains.iter().any(|known| known.domain == domain) {
            return;
        }
        let mut unlabelled = self.unlabelled.lock().unwrap_or_else(PoisonError::into_inner);
        if unlabelled.insert(domain.to_owned()) {
            tracing::warn!(
                "domain \"{domain}\" has no labels in {}: how well the student ranks its documents is not known; let `[distill] sources` name its \
                 sources, and run `headwater distill` again",
                RunFolder::STUDENT
            );
        }
    }

    /// The hashes of its teacher.
    pub(crate) fn model_hashes(&self) -> ModelHashes {
        let ScoringInputs { weights, model_config, tokenizer, .. } = self.file.teacher;
        ModelHashes { weights, config: model_config, tokenizer }
    }
}

impl Pipeline {
    /// The student of the run, if it predicts what the pipeline's teacher would score.
    ///
    /// # Errors
    /// [`Error::NoStudent`], [`Error::OtherStudent`] with every difference.
    pub(crate) fn ready_student(&self) -> Result<ReadyStudent> {
        let Some((file, hash)) = self.folder.student()? else {
            return Err(Error::NoStudent { output: self.place().to_string(), pipeline: self.name.clone() });
        };
        let (tokenizer, weights) = self.load_scoring_tokenizer()?;
        let differences = self.student_differences(&file, weights, &tokenizer)?;
        if !differences.is_empty() {
            return Err(Error::OtherStudent { path: self.place().describe(RunFolder::STUDENT), differences });
        }
        Ok(ReadyStudent { file, hash, tokenizer, unlabelled: Mutex::default() })
    }

    /// How what the pipeline asks for differs from what the student was fitted to, as `name: then → now`.
    fn student_differences(
        &self,
        file: &StudentFile,
        weights: ContentHash,
        tokenizer: &Tokenizer,
    ) -> Result<Vec<String>> {
        let teacher = &file.teacher;
        let score = &self.config.score;
        let mut now = teacher.clone();
        now.weights = weights;
        now.tokenizer = tokenizer.hash();
        now.mask = score.mask.as_str().to_owned();
        now.long_documents = score.long_documents.to_string();
        let (heads, mut differences) = self.known_heads()?;
        now.heads = heads.unwrap_or(now.heads);
        differences.extend(teacher.differences(&now));
        // what was asked for, as the model's context may have shortened it
        if score.window_tokens != file.labels.window_tokens {
            differences.push(format!("window_tokens: {} → {}", file.labels.window_tokens, score.window_tokens));
        }
        if file.features_version != features::VERSION {
            differences.push(format!("features: {} → {}", file.features_version, features::VERSION));
        }
        Ok(differences)
    }
}
