//! Which instructions the kernels use, chosen at run time.

use std::fmt;
use std::str::FromStr;

/// Declares [`Level`] with the name of each, lowest first.
macro_rules! levels {
    ($($(#[$doc:meta])* $level:ident = $name:literal,)*) => {
        /// A set of instructions that kernels are written for, lowest first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Level {
            $($(#[$doc])* $level,)*
        }

        impl Level {
            /// All levels, lowest first.
            pub const ALL: &'static [Self] = &[$(Self::$level,)*];

            /// Returns the name that configuration and fingerprints use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$level => $name,)*
                }
            }
        }
    };
}

levels! {
    /// Nothing beyond what every processor of the architecture has, products and sums rounded apart.
    Plain = "plain",
    /// Arm's 128-bit vectors with fused multiply-add.
    Neon = "neon",
    /// AVX2 and FMA; bfloat16 is widened, int8 multiplied as int16.
    Avx2 = "avx2",
    /// AVX2 and FMA with 256-bit dot products of int8.
    Avx2Vnni = "avx2-vnni",
    /// AVX-512 F, BW, DQ and VL; bfloat16 is widened, int8 multiplied as int16.
    Avx512 = "avx512",
    /// AVX-512 with dot products of int8; bfloat16 is widened.
    Avx512Vnni = "avx512-vnni",
    /// AVX-512 with dot products of bfloat16 and int8.
    Avx512Bf16 = "avx512-bf16",
    /// AMX tiles of bfloat16 and int8, beside AVX-512 with both.
    Amx = "amx",
}

impl Level {
    /// Returns whether this processor and operating system can run the level.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            _ => x86::has(self),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
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
        let known = Self::ALL.iter().copied().find(|level| level.as_str() == name);
        known.ok_or_else(|| LevelError::Unknown { name: name.to_owned() })
    }
}

/// A level that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// No level has that name.
    #[error("there is no instruction level `{name}`; there are {}", names(Level::ALL.iter().copied()))]
    Unknown {
        /// The name.
        name: String,
    },
    /// The processor lacks the instructions.
    #[error("this processor cannot run instruction level {level}; it can run {}", names(available()))]
    Unavailable {
        /// The level.
        level: Level,
    },
}

/// A level that this processor can run: the permission that every kernel asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions(Level);

impl Instructions {
    /// Returns the level that the table of families, `family.rs`, gives this processor.
    #[must_use]
    pub fn of_family() -> Self {
        Self(crate::family::level())
    }

    /// Asks for `level`.
    ///
    /// # Errors
    /// [`LevelError::Unavailable`] if this processor cannot run it.
    pub fn new(level: Level) -> Result<Self, LevelError> {
        if level.is_available() { Ok(Self(level)) } else { Err(LevelError::Unavailable { level }) }
    }

    /// Returns every level of this processor, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        available().map(Self)
    }

    /// Returns whether bfloat16 is multiplied as it is, and not widened.
    #[must_use]
    pub fn multiplies_bf16(self) -> bool {
        matches!(self.0, Level::Avx512Bf16 | Level::Amx)
    }

    /// Returns the level.
    #[must_use]
    pub fn level(self) -> Level {
        self.0
    }
}

/// The levels of this processor, lowest first.
fn available() -> impl Iterator<Item = Level> {
    Level::ALL.iter().copied().filter(|level| level.is_available())
}

/// Names in a row.
fn names(levels: impl Iterator<Item = Level>) -> String {
    levels.map(Level::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::is_x86_feature_detected as detected;

    use super::Level;

    /// Whether the processor has the instructions of `level`.
    pub(super) fn has(level: Level) -> bool {
        match level {
            Level::Plain => true,
            Level::Neon => false,
            Level::Avx2 => detected!("avx2") && detected!("fma"),
            // the same products, encoded for either set
            Level::Avx2Vnni => has(Level::Avx2) && (detected!("avxvnni") || has(Level::Avx512Vnni)),
            Level::Avx512 => {
                has(Level::Avx2)
                    && detected!("avx512f")
                    && detected!("avx512bw")
                    && detected!("avx512dq")
                    && detected!("avx512vl")
            }
            Level::Avx512Vnni => has(Level::Avx512) && detected!("avx512vnni"),
            Level::Avx512Bf16 => has(Level::Avx512Vnni) && detected!("avx512bf16"),
            Level::Amx => has(Level::Avx512Bf16) && crate::amx::is_available(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(*level));
        }
        let error = "sse9".parse::<Level>().expect_err("there is no such level").to_string();
        assert!(error.contains("sse9") && error.contains("plain, neon, avx2, avx2-vnni, "), "{error}");
    }

    #[test]
    fn levels_of_other_processors_are_refused_and_those_of_this_one_named() {
        let stranger = if cfg!(target_arch = "x86_64") { Level::Neon } else { Level::Avx2 };
        let error = Instructions::new(stranger).expect_err("a level of another architecture").to_string();
        assert!(error.contains(stranger.as_str()) && error.contains("plain"), "{error}");
    }
}
