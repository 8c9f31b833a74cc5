//! Whether the level that the table of families gives a processor is the fast one there.

use std::time::Instant;

use headwater_kernels::{Instructions, Level, saturate_bf16, saturate_f32, saturate_int8};
use headwater_record::run::Numerics;

use crate::Precision;

/// Share of a forward pass's operations that attention multiplies, in windows of some thousand tokens; the other products are the maps.
const ATTENTION: f64 = 0.14;

/// Time beyond the fastest level's that is worth a word.
const MARGIN: f64 = 1.2;

/// Measurements of each kind of product; the best counts, since other work on the machine can only lower one.
const ROUNDS: usize = 5;

/// Computes in registers and returns the number of operations.
pub(crate) type Saturate = fn(Instructions) -> u64;

/// A level that would be faster than the chosen one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FasterLevel {
    /// The level.
    pub level: Level,
    /// Times as long as the chosen level takes.
    pub ratio: f64,
}

/// Measures the products of every level of the processor in registers, for some tens of milliseconds, and returns the fastest if the level of `numerics` takes
/// more than a fifth longer; `None` too where no level is named.
#[must_use]
pub fn faster_level(numerics: &Numerics) -> Option<FasterLevel> {
    let chosen: Level = numerics.instructions.parse().ok()?;
    let costs: Vec<(Level, f64)> = Instructions::all()
        .filter(|instructions| instructions.level() == chosen || instructions.level() >= Level::Avx2)
        .map(|instructions| (instructions.level(), cost(instructions, &numerics.precision)))
        .collect();
    faster(chosen, &costs)
}

/// The fastest of `costs`, if it is faster than `chosen` by more than the margin.
fn faster(chosen: Level, costs: &[(Level, f64)]) -> Option<FasterLevel> {
    let (_, own) = costs.iter().find(|(level, _)| *level == chosen)?;
    let (level, least) = costs.iter().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let ratio = own / least;
    (ratio > MARGIN).then_some(FasterLevel { level: *level, ratio })
}

/// Time of an operation of a forward pass, the maps and attention each by its share.
fn cost(instructions: Instructions, class: &str) -> f64 {
    // attention is never rounded to int8
    let attention: Saturate = if class == Precision::F32.class() { saturate_f32 } else { saturate_bf16 };
    let maps = products(class).unwrap_or(attention);
    (1.0 - ATTENTION) * seconds(instructions, maps) + ATTENTION * seconds(instructions, attention)
}

/// What the maps of a numerics class compute in registers; `None` for a class that is not known.
pub(crate) fn products(class: &str) -> Option<Saturate> {
    let all: [(Precision, Saturate); 3] =
        [(Precision::F32, saturate_f32), (Precision::Bf16, saturate_bf16), (Precision::Int8, saturate_int8)];
    all.into_iter().find(|(precision, _)| precision.class() == class).map(|(_, saturate)| saturate)
}

/// Time of one operation.
#[expect(clippy::cast_precision_loss, reason = "a round has some million operations")]
fn seconds(instructions: Instructions, saturate: Saturate) -> f64 {
    let round = |_| {
        let began = Instant::now();
        let operations = saturate(instructions);
        began.elapsed().as_secs_f64() / operations as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_named_that_is_faster_by_more_than_a_fifth() {
        let costs = [(Level::Avx2, 2.0), (Level::Avx512, 1.0), (Level::Avx512Bf16, 1.3)];
        let faster = |chosen| faster(chosen, &costs);
        assert_eq!(faster(Level::Avx512Bf16), Some(FasterLevel { level: Level::Avx512, ratio: 1.3 }));
        assert_eq!(faster(Level::Avx512), None);
        assert_eq!(faster(Level::Plain), None);
    }

    #[test]
    fn every_level_has_a_cost_in_every_class() {
        for instructions in Instructions::all() {
            for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
                let cost = cost(instructions, precision.class());
                assert!(cost > 0.0 && cost.is_finite(), "{} {precision:?}: {cost}", instructions.level());
            }
        }
    }
}
