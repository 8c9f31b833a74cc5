//! Schedules of reflection: what is done to logits while a model thinks.

use std::str::FromStr;

use headwater_schedule::Wave;
use serde::{Deserialize, Serialize};

use crate::{Error, ReflectionTokens};

/// Tokens of a thought that TIP acts on in the original.
const THOUGHT_TOKENS: u64 = 600;

/// Generated tokens, the first of which is 0, that a schedule acts on: from the first to before the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The first.
    pub from: u64,
    /// The one after the last.
    pub until: u64,
}

impl Default for Span {
    /// That of CyclicReflex's public code.
    fn default() -> Self {
        Self { from: 0, until: 8_192 }
    }
}

impl Span {
    fn holds(self, token: u64) -> bool {
        (self.from..self.until).contains(&token)
    }
}

/// What the span of a penalty is counted from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TipFrom {
    /// The beginning of the output, as in CyclicReflex's public code.
    #[default]
    Output,
    /// The beginning of each thought, as in the original: a reflection token begins one.
    Thought,
}

/// A schedule of reflection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Schedule {
    /// Nothing.
    #[default]
    None,
    /// A wave is added to the logits of reflection tokens. arXiv 2506.11077.
    Cyclic {
        /// Over generated tokens.
        wave: Wave,
        /// Where it acts.
        span: Span,
    },
    /// A penalty is taken off the logits of reflection tokens. arXiv 2501.18585.
    Tip {
        /// The penalty.
        penalty: f32,
        /// Where it acts.
        span: Span,
        /// What the span is counted from.
        from: TipFrom,
    },
    /// `Wait` takes the place of the end of thinking where that is the most likely token, `waits` times; after `budget` tokens thinking ends.
    /// arXiv 2501.19393.
    S1 {
        /// Times.
        waits: u64,
        /// Tokens, if thinking is to end.
        budget: Option<u64>,
    },
}

/// The name of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// [`Schedule::None`].
    #[default]
    None,
    /// [`Schedule::Cyclic`].
    Cyclic,
    /// [`Schedule::Tip`].
    Tip,
    /// [`Schedule::S1`].
    S1,
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "none" => Ok(Self::None),
            "cyclic" => Ok(Self::Cyclic),
            "tip" => Ok(Self::Tip),
            "s1" => Ok(Self::S1),
            _ => Err(Error::Setting {
                what: "the reflection",
                got: name.to_owned(),
                expected: "there are none, cyclic, tip and s1",
            }),
        }
    }
}

/// A schedule as users write it: a name, and numbers of which each schedule takes its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduleSettings {
    /// The name.
    pub kind: Kind,
    /// Of a wave: the most that is added, tokens of a wave, and where it begins, in periods.
    pub wave: [f64; 3],
    /// What tip takes off.
    pub penalty: f32,
    /// The first token that waves and penalties act on.
    pub from: u64,
    /// The token that they stop before; by default 8,192, of tip by thought 600.
    pub until: Option<u64>,
    /// Counts tip's tokens from each thought.
    pub by_thought: bool,
    /// Times that S1 appends `Wait`.
    pub waits: u64,
    /// Tokens after which S1 ends thinking.
    pub budget: Option<u64>,
}

impl ScheduleSettings {
    /// The schedule.
    ///
    /// # Errors
    /// [`Error::Wave`] for a wave that is none.
    pub fn schedule(&self) -> Result<Schedule, Error> {
        let span = |usual: u64| Span { from: self.from, until: self.until.unwrap_or(usual) };
        let usual = Span::default().until;
        Ok(match self.kind {
            Kind::None => Schedule::None,
            Kind::Cyclic => {
                let [amplitude, period, shift] = self.wave;
                Schedule::Cyclic { wave: Wave::new(amplitude, period, shift)?, span: span(usual) }
            }
            Kind::Tip if self.by_thought => {
                Schedule::Tip { penalty: self.penalty, span: span(THOUGHT_TOKENS), from: TipFrom::Thought }
            }
            Kind::Tip => Schedule::Tip { penalty: self.penalty, span: span(usual), from: TipFrom::Output },
            Kind::S1 => Schedule::S1 { waits: self.waits, budget: self.budget },
        })
    }
}

/// A schedule at work on one text.
#[derive(Clone, Debug)]
pub struct Reflection {
    schedule: Schedule,
    tokens: ReflectionTokens,
    /// Times that `Wait` was appended.
    appended: u64,
}

impl Reflection {
    /// A schedule at the beginning of a text.
    ///
    /// # Errors
    /// [`Error::NoWords`] for a wave or a penalty without reflection tokens; [`Error::EndNeeded`] and [`Error::WaitNeeded`] for a budget of thinking whose tokens the vocabulary lacks; [`Error::Setting`] for a
    /// penalty that is no number.
    pub fn new(schedule: Schedule, tokens: ReflectionTokens) -> Result<Self, Error> {
        match schedule {
            Schedule::Cyclic { .. } | Schedule::Tip { .. } if tokens.reflection.is_empty() => {
                return Err(Error::NoWords);
            }
            Schedule::S1 { .. } if tokens.end.is_none() => return Err(Error::EndNeeded),
            Schedule::S1 { waits: 1.., .. } if tokens.wait.is_none() => return Err(Error::WaitNeeded),
            Schedule::Tip { penalty, .. } if !penalty.is_finite() => {
                let expected = "a number is needed, such as 3";
                return Err(Error::Setting { what: "the penalty", got: penalty.to_string(), expected });
            }
            _ => {}
        }
        Ok(Self { schedule, tokens, appended: 0 })
    }

    /// The tokens that it acts on.
    #[must_use]
    pub fn tokens(&self) -> &ReflectionTokens {
        &self.tokens
    }

    /// Changes the `logits`, `(vocab,)`, of the token that follows those `generated`, prompt excluded. After the end of thinking nothing
    /// changes. It is called once a token, and returns what is added to the logits of reflection tokens.
    #[expect(clippy::cast_possible_truncation, reason = "logits are float32")]
    pub fn process(&mut self, generated: &[u32], logits: &mut [f32]) -> f32 {
        if self.tokens.end.is_some_and(|end| generated.contains(&end)) {
            return 0.0;
        }
        let token = generated.len() as u64;
        let delta = match self.schedule {
            Schedule::Cyclic { wave, span } if span.holds(token) => wave.at(token) as f32,
            Schedule::Tip { penalty, span, from } if span.holds(token - self.began(generated, from)) => -penalty,
            Schedule::None | Schedule::Cyclic { .. } | Schedule::Tip { .. } => 0.0,
            Schedule::S1 { waits, budget } => {
                self.budget(token, (waits, budget), logits);
                0.0
            }
        };
        for id in &self.tokens.reflection {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit += delta;
            }
        }
        delta
    }

    /// The token that spans are counted from.
    fn began(&self, generated: &[u32], from: TipFrom) -> u64 {
        let last = |id: &u32| self.tokens.reflection.contains(id);
        match from {
            TipFrom::Output => 0,
            TipFrom::Thought => generated.iter().rposition(last).unwrap_or(0) as u64,
        }
    }

    fn budget(&mut self, token: u64, (waits, budget): (u64, Option<u64>), logits: &mut [f32]) {
        let Some(end) = self.tokens.end else { return };
        if budget.is_some_and(|budget| token >= budget) {
            only(end, logits);
            return;
        }
        let is_ending = crate::sampler::most_likely(logits) == Some(end);
        if let (true, Some(wait)) = (is_ending && self.appended < waits, self.tokens.wait) {
            self.appended += 1;
            only(wait, logits);
        }
    }
}

/// Leaves `id` as the only token that can follow.
fn only(id: u32, logits: &mut [f32]) {
    for (other, logit) in (0..).zip(logits) {
        *logit = if other == id { 0.0 } else { f32::NEG_INFINITY };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [u32; 2] = [1, 3];
    const END: u32 = 5;
    const WAIT: u32 = 3;

    fn reflection(schedule: Schedule) -> Result<Reflection, Error> {
        let tokens = ReflectionTokens { reflection: TOKENS.to_vec(), wait: Some(WAIT), end: Some(END) };
        Reflection::new(schedule, tokens)
    }

    /// What is added to each of seven logits after `generated`.
    fn added(schedule: Schedule, generated: &[u32]) -> Result<[f32; 7], Error> {
        let before = [0.5, -1.0, 2.0, 0.25, 0.0, 1.0, -3.0];
        let mut logits = before;
        reflection(schedule)?.process(generated, &mut logits);
        Ok(std::array::from_fn(|id| logits[id] - before[id]))
    }

    #[test]
    fn logits_change_at_the_named_ids_by_the_delta_and_nowhere_else() -> Result<(), Box<dyn std::error::Error>> {
        let wave = Wave::new(4.0, 8.0, 0.0)?;
        let span = Span { from: 1, until: 6 };
        for count in 0..9 {
            let delta = if (1..6).contains(&count) { [0.0, 2.0, 4.0, 2.0, 0.0, -2.0][count] } else { 0.0 };
            let text = vec![0; count];
            assert_eq!(
                added(Schedule::Cyclic { wave, span }, &text)?,
                [0.0, delta, 0.0, delta, 0.0, 0.0, 0.0],
                "{count}"
            );
            let tip = Schedule::Tip { penalty: 3.0, span, from: TipFrom::Output };
            let delta = if (1..6).contains(&count) { -3.0 } else { 0.0 };
            assert_eq!(added(tip, &text)?, [0.0, delta, 0.0, delta, 0.0, 0.0, 0.0], "{count}");
            assert_eq!(added(Schedule::None, &text)?, [0.0; 7]);
        }
        Ok(())
    }

    #[test]
    fn nothing_changes_after_the_end_of_thinking() -> Result<(), Box<dyn std::error::Error>> {
        let span = Span::default();
        let cyclic = Schedule::Cyclic { wave: Wave::new(4.0, 8.0, 0.0)?, span };
        let tip = Schedule::Tip { penalty: 3.0, span, from: TipFrom::Thought };
        for schedule in [cyclic, tip, Schedule::S1 { waits: 9, budget: Some(0) }] {
            assert_ne!(added(schedule, &[0])?, [0.0; 7], "{schedule:?}");
            assert_eq!(added(schedule, &[0, END, 0])?, [0.0; 7], "{schedule:?}");
        }
        Ok(())
    }

    #[test]
    fn a_penalty_by_thought_begins_again_with_each_reflection() -> Result<(), Error> {
        let span = Span { from: 0, until: 2 };
        let tip = Schedule::Tip { penalty: 1.0, span, from: TipFrom::Thought };
        let is_on = |generated: &[u32]| added(tip, generated).map(|added| added[1] < 0.0);
        for (generated, expected) in
            [(&[][..], true), (&[0], true), (&[0, 0], false), (&[0, 0, 1], true), (&[0, 0, 1, 0], false)]
        {
            assert_eq!(is_on(generated)?, expected, "{generated:?}");
        }
        Ok(())
    }

    #[test]
    fn a_budget_appends_wait_in_place_of_the_end_and_then_ends() -> Result<(), Error> {
        let mut at_work = reflection(Schedule::S1 { waits: 2, budget: Some(6) })?;
        let ending = [0.0, 0.0, 0.0, 0.0, 0.0, 9.0, 0.0];
        let going_on = [9.0, 0.0, 0.0, 0.0, 0.0, 8.0, 0.0];
        let next = |at_work: &mut Reflection, tokens: usize, mut logits: [f32; 7]| {
            at_work.process(&vec![0; tokens], &mut logits);
            logits
        };
        let id = |logits: [f32; 7]| crate::sampler::most_likely(&logits);
        assert_eq!(next(&mut at_work, 0, going_on), going_on);
        assert_eq!(id(next(&mut at_work, 1, ending)), Some(WAIT));
        assert_eq!(id(next(&mut at_work, 2, ending)), Some(WAIT));
        assert_eq!(next(&mut at_work, 3, ending), ending, "the waits are used up");
        assert_eq!(next(&mut at_work, 5, going_on), going_on);
        assert_eq!(id(next(&mut at_work, 6, going_on)), Some(END));
        Ok(())
    }

    #[test]
    fn schedules_need_their_tokens() {
        let lacking = |schedule, wait, end| {
            Reflection::new(schedule, ReflectionTokens { reflection: vec![1], wait, end })
                .err()
                .map(|error| error.to_string())
        };
        let s1 = |waits| Schedule::S1 { waits, budget: None };
        assert!(lacking(s1(1), Some(1), None).is_some_and(|said| said.contains("</think>")));
        assert!(lacking(s1(1), None, Some(1)).is_some_and(|said| said.contains("`Wait`")));
        assert_eq!(lacking(s1(0), None, Some(1)), None);
        let tip = Schedule::Tip { penalty: f32::NAN, span: Span::default(), from: TipFrom::Output };
        assert!(lacking(tip, None, None).is_some_and(|said| said.contains("the penalty")));
    }
}
