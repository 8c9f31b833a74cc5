//! Rotary position embeddings: what is rotated, how fast, and where a configuration says so.

use crate::Error;
use crate::keys::Keys;

/// How rotary frequencies are stretched beyond the context they were trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3: low frequencies divided by a factor, high ones kept, smoothly between.
    Llama3 {
        /// By how much low frequencies are divided.
        factor: f64,
        /// Wavelengths above `original / low` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below `original / high` are high frequencies.
        high_freq_factor: f64,
        /// Context that the model was first trained on, in tokens.
        original_context_tokens: f64,
    },
    /// YaRN: frequencies that turn rarely in the original context divided by a factor, those that turn often kept, linearly between.
    Yarn {
        /// By how much rare turns are divided.
        factor: f64,
        /// Turns in the original context from which frequencies are kept.
        beta_fast: f64,
        /// Turns up to which they are divided.
        beta_slow: f64,
        /// Whether the ends of the stretch between are whole frequencies.
        truncate: bool,
        /// Context that the model was first trained on, in tokens.
        original_context_tokens: f64,
    },
    /// Each frequency divided by its own factor, `(rotated / 2,)`, as GGUF files store it, or LongRoPE for windows of the original context.
    Divisors(Vec<f32>),
}

/// A rotary embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// How many numbers of a head are rotated, the first ones; even.
    pub rotated: usize,
    /// Base of the frequencies.
    pub theta: f64,
    /// How they are stretched.
    pub scaling: RopeScaling,
    /// What the rotated numbers of queries and keys are multiplied with.
    pub magnitude: f64,
    /// Longest window that this holds for, in tokens; `None` for any.
    pub context_tokens: Option<usize>,
}

impl Rope {
    /// Rotary frequencies in radians per position, `(rotated / 2,)`.
    ///
    /// # Source
    /// Su et al. (2021), RoFormer, §3.2.2; Llama 3 scaling as in Llama 3.1's reference code; Peng et al. (2023), YaRN, §3.2; Ding et al. (2024),
    /// LongRoPE, eq. 2.
    #[must_use]
    pub fn frequencies(&self) -> Vec<f64> {
        let half = self.rotated / 2;
        let base = |i: usize| self.theta.powf(-(2.0 * i as f64) / self.rotated as f64);
        match &self.scaling {
            RopeScaling::None => (0..half).map(base).collect(),
            RopeScaling::Linear { factor } => (0..half).map(|i| base(i) / factor).collect(),
            RopeScaling::Divisors(divisors) => (0..half).zip(divisors).map(|(i, d)| base(i) / f64::from(*d)).collect(),
            RopeScaling::Yarn { factor, beta_fast, beta_slow, truncate, original_context_tokens } => {
                let (low, high) = self.yarn_stretch([*beta_fast, *beta_slow], *truncate, *original_context_tokens);
                let stretched = |i: usize| {
                    let divided = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    base(i) * (divided / factor + (1.0 - divided))
                };
                (0..half).map(stretched).collect()
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context_tokens } => {
                let stretched = |frequency: f64| {
                    let turns = original_context_tokens * frequency / std::f64::consts::TAU;
                    let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                    frequency * (kept + (1.0 - kept) / factor)
                };
                (0..half).map(base).map(stretched).collect()
            }
        }
    }
}

impl Rope {
    /// The frequencies, counted and not whole, between which YaRN goes over from kept ones to divided ones.
    fn yarn_stretch(&self, turns: [f64; 2], truncate: bool, context: f64) -> (f64, f64) {
        let width = self.rotated as f64;
        let [low, high] =
            turns.map(|turns| width * (context / (turns * std::f64::consts::TAU)).ln() / (2.0 * self.theta.ln()));
        let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(width - 1.0));
        // as transformers keeps apart what would be one
        if low == high { (low, high + 0.001) } else { (low, high) }
    }
}

/// What an architecture takes where its configuration says nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RopeDefaults {
    pub(crate) theta: f64,
    /// Share of a head that is rotated.
    pub(crate) share: f64,
    /// Whether a configuration may say another share.
    pub(crate) may_share: bool,
    /// Longest window, for scaling that names none.
    pub(crate) context_tokens: usize,
    /// The original context where it stands beside the table, before one inside it.
    pub(crate) original_context_tokens: Option<usize>,
}

/// What a table says of stretching.
struct Stretched {
    scaling: RopeScaling,
    magnitude: f64,
    context_tokens: Option<usize>,
}

impl Stretched {
    const fn plainly(scaling: RopeScaling) -> Self {
        Self { scaling, magnitude: 1.0, context_tokens: None }
    }
}

/// Reads the one rotary embedding of all layers for heads of `head_dim` numbers.
///
/// As transformers 5 does: `rope_scaling` before `rope_parameters`; a base or share inside the table before one beside it.
pub(crate) fn read(keys: &Keys, head_dim: usize, defaults: RopeDefaults) -> Result<Rope, Error> {
    let (scaling, parameters) = (keys.table("rope_scaling")?, keys.table("rope_parameters")?);
    let theta = keys.positive_or("rope_theta", defaults.theta)?;
    let share = keys.real_or("partial_rotary_factor", defaults.share)?;
    let defaults = RopeDefaults { theta, share, ..defaults };
    let table = scaling.or(parameters);
    if table.as_ref().is_none_or(|table| table.value("rope_theta").is_none()) {
        keys.refuse_null(&["rope_theta"])?;
    }
    if defaults.may_share {
        keys.refuse_null(&["partial_rotary_factor", "rotary_pct"])?;
    }
    match table {
        Some(table) => {
            // transformers takes one beside the table before the one inside it
            let beside = if stretches_from(&table)? { keys.size_above_0(ORIGINAL)? } else { None };
            let original_context_tokens = beside.or(defaults.original_context_tokens);
            of_table(&table, head_dim, RopeDefaults { original_context_tokens, ..defaults })
        }
        None => of_share(keys, head_dim, defaults, Stretched::plainly(RopeScaling::None)),
    }
}

/// What is run where no share of a head may be rotated.
const WHOLE: &str = "heads that are rotated whole, in this architecture";

const ORIGINAL: &str = "original_max_position_embeddings";

/// Whether a table stretches from an original context, which may stand beside it.
fn stretches_from(table: &Keys) -> Result<bool, Error> {
    Ok(matches!(table.text(type_key(table)?)?, Some("llama3" | "yarn" | "longrope" | "su")))
}

/// The key of a table's type: `type` is the older name; side by side they are one thing.
fn type_key(table: &Keys) -> Result<&'static str, Error> {
    table.refuse_null(&["rope_type", "type"])?;
    Ok(if table.text("rope_type")?.is_some() { "rope_type" } else { "type" })
}

/// Reads the rotary embeddings of layers that see all positions and of those that see a window, from a table for each kind; `rope_scaling` is of
/// the former.
pub(crate) fn by_kind(keys: &Keys, head_dim: usize, defaults: [RopeDefaults; 2]) -> Result<[Rope; 2], Error> {
    const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];
    keys.refuse_null(&["rope_theta", "rope_local_base_freq"])?;
    let share = keys.real_or("partial_rotary_factor", 1.0)?;
    if share != 1.0 {
        return Err(keys.unsupported("partial_rotary_factor", &share.to_string(), WHOLE));
    }
    let parameters = keys.table("rope_parameters")?;
    if parameters.is_none() && keys.value("rope_parameters").is_some() && keys.value("rope_scaling").is_some() {
        return Err(keys.unsupported("rope_parameters", "{}", "a table for each kind of layers, or no such key"));
    }
    let read = |kind: usize| match parameters.as_ref().map(|tables| tables.table(KINDS[kind])).transpose()?.flatten() {
        Some(table) => of_table(&table, head_dim, defaults[kind]),
        None => of_share(keys, head_dim, defaults[kind], Stretched::plainly(RopeScaling::None)),
    };
    let (full, sliding) = (read(0)?, read(1)?);
    if let Some(tables) = &parameters {
        tables.refuse_others(&KINDS)?;
    }
    let full = match keys.table("rope_scaling")? {
        // a GGUF header's table has the older name
        Some(scaling) if !keys.is_header() && type_key(&scaling)? == "type" && scaling.value("type").is_some() => {
            return Err(scaling.unsupported("type", "the older name", "`rope_type`, in this architecture"));
        }
        Some(scaling) => of_table(&scaling, head_dim, RopeDefaults { theta: full.theta, ..defaults[0] })?,
        None => full,
    };
    Ok([full, sliding])
}

/// Reads a rotary embedding from a table of its own.
pub(crate) fn of_table(table: &Keys, head_dim: usize, defaults: RopeDefaults) -> Result<Rope, Error> {
    table.refuse_tables()?;
    table.refuse_null(&["rope_theta", "partial_rotary_factor", ORIGINAL])?;
    let theta = table.positive_or("rope_theta", defaults.theta)?;
    let share = table.real_or("partial_rotary_factor", defaults.share)?;
    let factor = |key: &str| -> Result<f64, Error> {
        if table.value(key).is_none() { Err(table.missing(key)) } else { table.positive_or(key, 1.0) }
    };
    let key = type_key(table)?;
    let original = || {
        let beside = defaults.original_context_tokens.unwrap_or(defaults.context_tokens) as f64;
        let inside = table.positive_or(ORIGINAL, beside)?;
        Ok::<_, Error>(if defaults.original_context_tokens.is_some() { beside } else { inside })
    };
    let stretched = match table.text(key)? {
        None | Some("default") => Stretched::plainly(RopeScaling::None),
        Some("linear") => Stretched::plainly(RopeScaling::Linear { factor: factor("factor")? }),
        Some("llama3") => Stretched::plainly(llama3(table, factor, original()?)?),
        // logarithms of the base divide
        Some("yarn") if theta == 1.0 => return Err(table.unsupported("rope_theta", "1", "other bases with yarn")),
        Some("yarn") => yarn(table, original()?, factor("factor")?)?,
        Some("longrope" | "su") => longrope(table, original()?, defaults)?,
        Some(other) => return Err(table.unsupported(key, other, "default, linear, llama3, yarn and longrope")),
    };
    of_share(table, head_dim, RopeDefaults { theta, share, ..defaults }, stretched)
}

/// Reads Llama 3's stretching; `factor` reads a number that must be there.
fn llama3(
    table: &Keys,
    factor: impl Fn(&str) -> Result<f64, Error>,
    original_context_tokens: f64,
) -> Result<RopeScaling, Error> {
    const HIGH: &str = "high_freq_factor";
    let (low_freq_factor, high_freq_factor) = (factor("low_freq_factor")?, factor(HIGH)?);
    if high_freq_factor <= low_freq_factor {
        return Err(table.unsupported(HIGH, &high_freq_factor.to_string(), "numbers above `low_freq_factor`"));
    }
    Ok(RopeScaling::Llama3 { factor: factor("factor")?, low_freq_factor, high_freq_factor, original_context_tokens })
}

/// Reads YaRN's stretching, with the defaults of transformers.
fn yarn(table: &Keys, original: f64, factor: f64) -> Result<Stretched, Error> {
    let scale = |by: f64| if factor <= 1.0 { 1.0 } else { 0.1 * by * factor.ln() + 1.0 };
    // zero is as good as none here
    let [of_some, of_all] = [table.real_or("mscale", 0.0)?, table.real_or("mscale_all_dim", 0.0)?];
    let default = if of_some != 0.0 && of_all != 0.0 { scale(of_some) / scale(of_all) } else { scale(1.0) };
    let beta = |key: &str, default: f64| match table.real_or(key, default)? {
        0.0 => Ok(default),
        _ => table.positive_or(key, default),
    };
    let scaling = RopeScaling::Yarn {
        factor,
        beta_fast: beta("beta_fast", 32.0)?,
        beta_slow: beta("beta_slow", 1.0)?,
        truncate: table.flag_or("truncate", true)?,
        original_context_tokens: original,
    };
    Ok(Stretched { scaling, magnitude: table.positive_or("attention_factor", default)?, context_tokens: None })
}

/// Reads LongRoPE's stretching for windows of the original context: longer ones have other divisors.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a context is a whole number")]
fn longrope(table: &Keys, original: f64, defaults: RopeDefaults) -> Result<Stretched, Error> {
    const KEY: &str = "short_factor";
    let factor = table.positive_or("factor", defaults.context_tokens as f64 / original)?;
    let default = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
    let magnitude = table.positive_or("attention_factor", default)?;
    let divisor = |value: &serde_json::Value| match value.as_f64() {
        Some(divisor) if divisor > 0.0 => Ok(divisor as f32),
        _ => Err(table.unsupported(KEY, &value.to_string(), "a list of numbers above 0")),
    };
    let divisors = table.list(KEY)?.ok_or_else(|| table.missing(KEY))?;
    let divisors = divisors.iter().map(divisor).collect::<Result<Vec<_>, Error>>()?;
    Ok(Stretched { scaling: RopeScaling::Divisors(divisors), magnitude, context_tokens: Some(original as usize) })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a head's width, cut as transformers cuts it"
)]
fn of_share(keys: &Keys, head_dim: usize, defaults: RopeDefaults, stretched: Stretched) -> Result<Rope, Error> {
    let RopeDefaults { theta, share, may_share, .. } = defaults;
    if share != 1.0 && !may_share && !keys.is_header() {
        return Err(keys.unsupported("partial_rotary_factor", &share.to_string(), WHOLE));
    }
    if theta < 1.0 {
        return Err(keys.unsupported("rope_theta", &theta.to_string(), "bases of 1 or more"));
    }
    let rotated = keys.size_or("rope_dimensions", (head_dim as f64 * share) as usize, 0)?;
    if rotated > head_dim || !(share > 0.0 && share <= 1.0) || !rotated.is_multiple_of(2) {
        let supported = "shares up to 1 that make an even number of each head";
        return Err(keys.unsupported("partial_rotary_factor", &share.to_string(), supported));
    }
    let Stretched { scaling, magnitude, context_tokens } = stretched;
    if let RopeScaling::Divisors(divisors) = &scaling
        && divisors.len() != rotated / 2
    {
        let supported = "a divisor for each pair of rotated numbers";
        return Err(keys.unsupported("short_factor", &format!("a list of {}", divisors.len()), supported));
    }
    Ok(Rope { rotated, theta, scaling, magnitude, context_tokens })
}
