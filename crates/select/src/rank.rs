//! What a document is ranked by, as a 32-bit key: greater is better.
//!
//! A rank is one file: it names the sidecar columns it reads and gives each row of a unit a key. Most ranks are 32-bit floats, whose
//! order-preserving bits are exact; equal keys are ties, which the address breaks. Whether a document may be ranked at all
//! (a finite influence, and the guards) is not the rank's affair.

mod column;
mod corrected;
mod counted;
mod influence;
mod key;
mod random;
mod sum;

use headwater_record::sidecar::column as column_name;

use crate::Result;
use crate::config::{RankBy, SelectConfig};
use crate::correction::{COLUMNS, Nuisances};
use crate::population::Population;
use crate::scan::Scores;

pub(crate) use corrected::Corrected;
use counted::Counted;
pub(crate) use key::{Rank, ordered_bits};

/// The sidecar columns that a rank reads, those of its noise included, before it is ready to say so itself.
pub(crate) fn columns(by: &RankBy, config: &SelectConfig) -> Vec<&'static str> {
    match by {
        RankBy::Influence => vec![column_name::INFLUENCE, column_name::INFLUENCE_STDERR],
        RankBy::Loss => vec![column_name::LOSS_BASE],
        RankBy::Compression => vec![column_name::COMPRESSION],
        RankBy::Copied => vec![column_name::COPIED],
        RankBy::Corrected => COLUMNS.to_vec(),
        RankBy::Random | RankBy::Column(_) => Vec::new(),
        RankBy::RankSum => config.rank_sum.keys().flat_map(|part| columns(part, config)).collect(),
    }
}

/// Makes a rank ready: reads the sidecars as often as it needs to.
pub(crate) fn prepare(
    by: &RankBy,
    config: &SelectConfig,
    scores: &Scores<'_>,
    population: &Population,
) -> Result<Box<dyn Rank>> {
    Ok(match by {
        RankBy::Influence => Box::new(influence::Influence),
        RankBy::Loss => Box::new(Counted::LOSS),
        RankBy::Compression => Box::new(Counted::COMPRESSION),
        RankBy::Copied => Box::new(Counted::COPIED),
        RankBy::Random => Box::new(random::Random { seed: population.seed }),
        RankBy::Column(column) => Box::new(column::Imported(column.clone())),
        RankBy::Corrected => Box::new(Corrected::fit(scores, population, Nuisances::of(&config.correct_for))?),
        RankBy::RankSum => {
            let parts =
                config.rank_sum.iter().map(|(by, weight)| Ok((prepare(by, config, scores, population)?, *weight)));
            Box::new(sum::RankSum::sample(parts.collect::<Result<_>>()?, scores, population)?)
        }
    })
}
