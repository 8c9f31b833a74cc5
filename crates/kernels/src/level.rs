//! Which instructions the kernels use, chosen at run time.

use std::fmt;
use std::str::FromStr;

/// A set of instructions that kernels are written for, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing beyond what every processor of the architecture has, products and sums rounded apart.
    Plain,
    /// Arm's 128-bit vectors with fused multiply-add.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 with dot products of bfloat16 and int8.
    Avx512Bf16,
    /// AMX tiles of bfloat16 and int8, beside AVX-512 with both.
    Amx,
}

impl Level {
    /// All levels, highest first.
    pub const ALL: [Self; 6] = [Self::Amx, Self::Avx512Bf16, Self::Avx512, Self::Avx2, Self::Neon, Self::Plain];

    /// Returns the name that configuration and fingerprints use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
        }
    }

    /// Returns whether this processor and operating system can run the level.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => has_avx2(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => has_avx512(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                has_avx512()
                    && std::arch::is_x86_feature_detected!("avx512bf16")
                    && std::arch::is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::Avx512Bf16.is_available() && crate::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Avx512Bf16 | Self::Amx => false,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(name: &str) -> Result<Self, LevelError> {
        let known = Self::ALL.into_iter().find(|level| level.as_str() == name);
        known.ok_or_else(|| LevelError::Unknown { name: name.to_owned() })
    }
}

/// A level that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// No level has that name.
    #[error("there is no instruction level `{name}`; there are amx, avx512-bf16, avx512, avx2, neon and plain")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The processor lacks the instructions.
    #[error("this processor cannot run instruction level {level}; the highest that it can is {best}")]
    Unavailable {
        /// The level.
        level: Level,
        /// The highest level of this processor.
        best: Level,
    },
}

/// A level that this processor can run: the permission that every kernel asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions(Level);

impl Instructions {
    /// Returns the highest level of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self(Level::ALL.into_iter().find(|level| level.is_available()).unwrap_or(Level::Plain))
    }

    /// Asks for `level`.
    ///
    /// # Errors
    /// [`LevelError::Unavailable`] if this processor cannot run it.
    pub fn new(level: Level) -> Result<Self, LevelError> {
        if level.is_available() {
            Ok(Self(level))
        } else {
            Err(LevelError::Unavailable { level, best: Self::best().0 })
        }
    }

    /// Returns every level of this processor, highest first.
    pub fn all() -> impl Iterator<Item = Self> {
        Level::ALL.into_iter().filter(|level| level.is_available()).map(Self)
    }

    /// Returns the level.
    #[must_use]
    pub fn level(self) -> Level {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        let error = "sse9".parse::<Level>().expect_err("there is no such level");
        assert!(error.to_string().contains("sse9"), "{error}");
    }

    #[test]
    fn the_best_level_is_available_and_levels_of_other_processors_are_refused() {
        assert!(Instructions::new(Instructions::best().level()).is_ok());
        let stranger = if cfg!(target_arch = "x86_64") { Level::Neon } else { Level::Avx2 };
        let error = Instructions::new(stranger).expect_err("a level of another architecture");
        assert!(error.to_string().contains(stranger.as_str()), "{error}");
    }
}
