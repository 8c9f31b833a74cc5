//! Which instructions a family of processors computes with: the one table of what they cost.
//!
//! A flag says what a processor can do and not what it does fast. Figures are operations a cycle and core in registers, two for a
//! multiply-add, measured with [`saturate_f32`](crate::saturate_f32) and its siblings, or given by the manufacturer where marked:
//!
//! | family | float32 | bfloat16 dots | int8 dots | level |
//! |---|---:|---:|---:|---|
//! | Intel with tiles (Sapphire Rapids, Emerald Rapids, Granite Rapids) | 64 | 1,024 in tiles | 2,048 in tiles | `amx` |
//! | AMD Zen 5 | 64 | 128 | 256 | `avx512-bf16` |
//! | AMD Zen 4 | 32 | 64 | 128 | `avx512-bf16` |
//! | Intel with AVX-512 and VNNI and no tiles (Ice Lake, Cooper Lake; Sapphire and Emerald Rapids where tiles are hidden) | 64 | 24 | 256 | `avx512-vnni` |
//! | AVX-512 without VNNI (Skylake-X) | 64 (given) | – | 128 as int16 (given) | `avx512` |
//! | AVX-VNNI without AVX-512 (Alder Lake and later) | 32 (given) | – | 128 (given) | `avx2-vnni` |
//! | AVX2 | 32 | – | 48 as int16 | `avx2` |
//!
//! The same family always gets the same level, and with it the same numerics class, so that machines of a fleet agree.
//! `headwater-model` holds the choice against a short measurement.

use crate::Level;

/// The level of this processor's family.
pub(crate) fn level() -> Level {
    choose(is_intel(), Level::is_available)
}

/// The level of a processor of which only the manufacturer and the levels it can run are known.
fn choose(intel: bool, available: impl Fn(Level) -> bool) -> Level {
    // without tiles Intel's dot product of bfloat16 takes 2.6 times as long as one of float32
    let slow = |level: Level| intel && level == Level::Avx512Bf16;
    let fit = |level: &Level| available(*level) && !slow(*level);
    Level::ALL.iter().rev().copied().find(fit).unwrap_or(Level::Plain)
}

/// Whether the processor is one of Intel's.
#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let leaf = std::arch::x86_64::__cpuid(0);
    (leaf.ebx, leaf.edx, leaf.ecx) == (name(b"Genu"), name(b"ineI"), name(b"ntel"))
}

/// Four letters as CPUID gives them.
#[cfg(target_arch = "x86_64")]
const fn name(letters: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*letters)
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a processor whose highest level is `most` can run.
    fn up_to(most: Level) -> impl Fn(Level) -> bool {
        move |level| level <= most && level != Level::Neon
    }

    #[test]
    fn families_get_the_level_that_is_fast_there() {
        for (intel, most, level) in [
            (true, Level::Amx, Level::Amx),
            (true, Level::Avx512Bf16, Level::Avx512Vnni), // Emerald Rapids without tiles
            (false, Level::Avx512Bf16, Level::Avx512Bf16), // Zen 4 and 5
            (true, Level::Avx512Vnni, Level::Avx512Vnni),
            (true, Level::Avx512, Level::Avx512),
            (false, Level::Avx2, Level::Avx2),
            (false, Level::Plain, Level::Plain),
        ] {
            assert_eq!(choose(intel, up_to(most)), level, "intel {intel}, {most}");
        }
        let alder_lake = |level| level == Level::Avx2Vnni || up_to(Level::Avx2)(level);
        assert_eq!(choose(true, alder_lake), Level::Avx2Vnni);
        assert_eq!(choose(false, |level| level == Level::Neon || level == Level::Plain), Level::Neon);
    }

    #[test]
    fn the_level_of_this_family_is_available() {
        assert!(level().is_available());
    }
}
