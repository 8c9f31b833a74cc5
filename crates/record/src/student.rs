//! `student.json`: a cheap predictor of a teacher's scores, and how far it can be trusted.

use serde::{Deserialize, Serialize};

use crate::run::ScoringInputs;

/// `student.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudentFile {
    /// Version of Headwater that made it.
    pub headwater: String,
    /// Version of the features.
    pub features_version: u32,
    /// The features' names, in order.
    pub features: Vec<String>,
    /// What the teacher's scores were made with.
    pub teacher: ScoringInputs,
    /// What it was fitted to.
    pub labels: StudentLabels,
    /// Predicts log(1 + influence).
    pub influence: SplineRidge,
    /// Predicts the log of the base loss, in nats.
    pub loss: SplineRidge,
    /// How far log(1 + influence) of the teacher lies from the prediction.
    pub intervals: Vec<StudentInterval>,
    /// What it reaches on sources that it was not fitted to.
    pub fidelity: StudentFidelity,
}

/// The documents that a student was fitted to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudentLabels {
    /// Documents.
    pub documents: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Tokens of a window that the pipeline asked for; the model's context may have shortened it.
    pub window_tokens: usize,
    /// What folds keep together: `source`, or `file` where a domain has too few sources.
    pub folds_by: String,
    /// How many of them there are.
    pub groups: u64,
}

/// A ridge regression on natural cubic splines of the features, with an intercept for each domain.
///
/// # Source
/// Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2nd edition), §5.2.1 and §3.4.1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplineRidge {
    /// Knots of each feature, ascending; fewer than three make it linear.
    pub knots: Vec<Vec<f64>>,
    /// Mean of each column of the basis.
    pub means: Vec<f64>,
    /// Standard deviation of each column of the basis.
    pub deviations: Vec<f64>,
    /// Weight of each standardised column of the basis.
    pub weights: Vec<f64>,
    /// The domains that it was fitted to, and their intercepts.
    pub intercepts: Vec<DomainIntercept>,
    /// The ridge's penalty, which cross-validation chose.
    pub penalty: f64,
}

/// What a domain adds to a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainIntercept {
    /// The domain.
    pub domain: String,
    /// Its intercept.
    pub intercept: f64,
}

/// Half the width of the interval that two thirds of the teacher's values lie in, for the documents of a domain of like length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudentInterval {
    /// The domain; none for domains that have too few labels.
    pub domain: Option<String>,
    /// Tokens of the documents that it is for, at most; none for all longer ones.
    pub most_tokens: Option<u32>,
    /// Half its width, in log(1 + influence).
    pub half_width: f64,
}

/// What a student reaches on held-out sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudentFidelity {
    /// Each domain by itself.
    pub domains: Vec<DomainFidelity>,
    /// Spearman's correlation, averaged over domains, of students fitted to fewer labels.
    pub curve: Vec<CurvePoint>,
    /// Share of labels whose value lies in the interval of [`StudentInterval`], when that is made from other folds; two thirds if it holds.
    pub coverage: f64,
    /// What a cascade makes of it, by how much the teacher scores; none of students of earlier versions.
    #[serde(default)]
    pub cascade: Vec<CascadePoint>,
    /// What scoring a sample of the windows of long documents would have made of the labels; none if no label has several windows, if only
    /// some of them were scored, and of students of earlier versions.
    #[serde(default)]
    pub samples: Vec<SamplePoint>,
    /// Each label with its held-out prediction; none of students of earlier versions.
    #[serde(default)]
    pub held_out: Vec<HeldOut>,
}

/// A label and what a student that was not fitted to its group predicts of it, both log(1 + influence).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Its domain.
    pub domain: String,
    /// What the student predicts.
    pub student: f32,
    /// What the teacher says.
    pub teacher: f32,
}

/// Standard errors from the cut within which the teacher is asked about a document.
const CONTESTED_WITHIN: f64 = 2.0;

/// How much a token of the teacher's is expected to decide of a document of `tokens` tokens whose value lies `distance` from the cut, with this
/// standard error: the probability that it belongs on the other side, for a normal error, by its tokens. `None` if the document is not contested.
#[must_use]
pub fn urgency(distance: f64, stderr: f64, tokens: u32) -> Option<f64> {
    let away = distance.abs() / stderr;
    let on_the_other_side = 0.5 * libm::erfc(away * std::f64::consts::FRAC_1_SQRT_2);
    (away <= CONTESTED_WITHIN).then(|| on_the_other_side / f64::from(tokens.max(1)))
}

/// What a cascade keeps when the teacher scores some of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CascadePoint {
    /// Share of the tokens that the teacher scores, at most.
    pub share: f64,
    /// Share of the documents above the cuts, of all domains, that the cascade and the teacher alone have in common.
    pub overlap: f64,
}

/// What the teacher's scores become if it reads a sample of the windows of long documents, against all windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplePoint {
    /// Windows that are scored of a document, at most.
    pub windows: u64,
    /// Labels that have more.
    pub documents: u64,
    /// Share of the targets of all labels that are scored.
    pub token_share: f64,
    /// Spearman's correlation with the scores of all windows, averaged over domains; of all labels, long or not.
    pub correlation: f64,
    /// Share of the documents above the cut that both have in common, averaged over domains.
    pub overlap: f64,
    /// By how much influence of the documents that have more windows is off, in standard errors of the score of all their windows, root mean
    /// square.
    pub error: f64,
}

/// A point of a learning curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Labels that were fitted to.
    pub documents: u64,
    /// Spearman's correlation with the teacher, averaged over domains.
    pub correlation: f64,
}

/// How a student ranks one domain. Correlations are Spearman's, in [−1, 1]; overlaps are shares of the documents above the cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainFidelity {
    /// The domain.
    pub domain: String,
    /// Its labels.
    pub documents: u64,
    /// Sources or files that they are from.
    pub groups: u64,
    /// The share that the cut keeps; what overlap chance has.
    pub fraction: f64,
    /// Student and teacher.
    pub correlation: f64,
    /// Student and teacher, were the teacher free of its own noise.
    pub disattenuated: f64,
    /// The teacher and the teacher measured again, simulated from its standard errors.
    pub teacher_correlation: f64,
    /// Student and teacher above the cut.
    pub overlap: f64,
    /// The teacher and the teacher measured again.
    pub teacher_overlap: f64,
    /// A student that sees compression and length only, and the teacher.
    pub baseline_correlation: f64,
    /// The same above the cut.
    pub baseline_overlap: f64,
    /// What a constant for each source would reach, the teacher's own mean.
    pub source_correlation: f64,
    /// Student and teacher inside sources: of what is left when the mean of each source is taken off both.
    pub within_correlation: f64,
    /// Slope of the teacher's value over the student's, 1 if calibrated.
    pub slope: f64,
    /// Mean residual of the shortest, middle and longest third of the documents, in standard deviations of the teacher's value.
    pub drift_by_length: [f64; 3],
    /// Standard deviation of the mean residual of sources, in standard deviations of the teacher's value.
    pub drift_by_source: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_the_cut_and_short_is_urgent() {
        let at = |distance, tokens| urgency(distance, 0.5, tokens);
        assert_eq!(at(0.0, 100), Some(0.005), "either side is as likely");
        let one_away = at(-0.5, 1).expect("it is contested");
        assert!((one_away - 0.158_655).abs() < 1e-6, "the tail of a normal distribution beyond one: {one_away}");
        assert!(at(0.2, 100) > at(0.3, 100) && at(0.3, 100) > at(0.3, 101));
        assert_eq!(at(1.01, 1), None, "beyond two standard errors");
        assert_eq!(urgency(0.1, 0.0, 1), None, "a value without error is not contested");
        assert_eq!(urgency(0.1, f64::NAN, 1), None);
    }
}
