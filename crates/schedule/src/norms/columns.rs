//! The columns of a log that matter: those that may hold gradient norms, and those that may hold steps.

use std::collections::BTreeMap;

use super::names::{Meaning, match_of};
use super::run::{self, Plan};
use super::{NormLog, NormSource};
use crate::Error;

/// Names that a message lists at most.
const LISTED: usize = 40;

/// The name that is taken although others may be gradient norms too.
const USUAL: &str = "grad_norm";

/// Returns the number that `text` is, or NaN; the decimal sign may be a comma if that separates nothing else.
pub(super) fn number(text: &str, has_decimal_commas: bool) -> f64 {
    let parsed = text.parse().ok();
    let with_comma = || text.replacen(',', ".", 1).parse().ok().filter(|_| has_decimal_commas && !text.contains('.'));
    parsed.or_else(with_comma).unwrap_or(f64::NAN)
}

/// A column and its values.
#[derive(Debug)]
struct Column {
    name: String,
    meaning: Meaning,
    /// A value a row, as far as rows had one; NaN for what is no number.
    values: Vec<f64>,
    /// The first negative value, with its line.
    negative: Option<(u64, f64)>,
}

impl Column {
    fn has_numbers(&self) -> bool {
        self.values.iter().any(|value| !value.is_nan())
    }

    /// Whether the values can be steps: not all the same, and but for a few whole and not negative.
    fn are_steps(&self) -> bool {
        let mut numbers = self.values.iter().copied().filter(|value| !value.is_nan());
        let Some(first) = numbers.next() else { return false };
        let (mut all, mut steps, mut differ) = (1, usize::from(is_step(first)), false);
        for value in numbers {
            all += 1;
            steps += usize::from(is_step(value));
            differ |= value.to_bits() != first.to_bits();
        }
        steps * 10 >= all * 9 && (differ || all == 1)
    }
}

fn is_step(value: f64) -> bool {
    value.is_finite() && value >= 0.0 && value.fract() == 0.0
}

/// What is kept of a log while it is read row by row.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    source: &'a NormSource<'a>,
    /// What the log says of its run.
    pub(super) plan: Plan,
    /// Names in the order of the log, and where those that matter are kept.
    names: Vec<String>,
    places: BTreeMap<String, Option<usize>>,
    kept: Vec<Column>,
    rows: usize,
    passed_over: Option<u64>,
}

impl<'a> Columns<'a> {
    pub(super) const fn new(source: &'a NormSource<'a>) -> Self {
        Self {
            source,
            plan: Plan { total: None, interval: None },
            names: Vec::new(),
            places: BTreeMap::new(),
            kept: Vec::new(),
            rows: 0,
            passed_over: None,
        }
    }

    /// Whether no row was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Where the column `name` is kept, if it matters.
    pub(super) fn column(&mut self, name: &str) -> Option<usize> {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let meaning = match (self.source.column, Meaning::of(name)) {
            (Some(asked), _) if match_of(name, asked).is_some() => Meaning::Norm,
            (Some(_), Meaning::Norm | Meaning::Value) => Meaning::Other,
            (_, meaning) => meaning,
        };
        match meaning {
            Meaning::Norm | Meaning::Value | Meaning::Step { .. } => Some(self.keep(name, meaning)),
            Meaning::Time | Meaning::Other => {
                self.names.push(name.to_owned());
                self.places.insert(name.to_owned(), None);
                None
            }
        }
    }

    /// Where the only column of a log is kept: it has the norms whatever its name, unless another one is asked for.
    pub(super) fn sole(&mut self, name: &str) -> usize {
        let is_wanted = self.source.column.is_none_or(|asked| match_of(name, asked).is_some());
        self.keep(name, if is_wanted { Meaning::Norm } else { Meaning::Other })
    }

    fn keep(&mut self, name: &str, meaning: Meaning) -> usize {
        let at = self.kept.len();
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), Some(at));
        self.kept.push(Column { name: name.to_owned(), meaning, values: Vec::new(), negative: None });
        at
    }

    /// Gives the row that is being read a value.
    pub(super) fn put(&mut self, at: usize, value: f64, line: u64) {
        let column = &mut self.kept[at];
        column.values.resize(self.rows, f64::NAN);
        column.values.push(value);
        if value < 0.0 && value.is_finite() && column.negative.is_none() {
            column.negative = Some((line, value));
        }
    }

    /// Ends a row; a column without a value has none in it.
    pub(super) const fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Counts `line` as cut; nothing of it was kept.
    pub(super) const fn pass_over(&mut self, line: u64) {
        self.passed_over = Some(line);
    }

    /// Takes back the last row, which `line` held, because the line is cut.
    pub(super) fn forget_row(&mut self, line: u64) {
        self.rows = self.rows.saturating_sub(1);
        for column in &mut self.kept {
            column.values.truncate(self.rows);
            column.negative = column.negative.filter(|(at, _)| *at != line);
        }
        self.pass_over(line);
    }

    /// Takes back the last row if its step is before that of the row above, as if the step were cut.
    pub(super) fn forget_row_if_it_goes_back(&mut self, line: u64) {
        let goes_back = |column: &Column| {
            let is_step = matches!(column.meaning, Meaning::Step { .. }) && column.values.len() == self.rows;
            is_step && column.values.last_chunk::<2>().is_some_and(|[before, last]| last < before)
        };
        if self.kept.iter().any(goes_back) {
            self.forget_row(line);
        }
    }

    /// Returns the norms in the order of their steps.
    ///
    /// # Errors
    /// [`Error::NoNorms`], [`Error::NormColumn`], [`Error::SeveralNorms`] and [`Error::LoggedNorm`].
    pub(super) fn finish(mut self) -> Result<NormLog, Error> {
        let chosen = self.chosen()?;
        for column in &mut self.kept {
            column.values.resize(self.rows, f64::NAN);
            if matches!(column.meaning, Meaning::Step { .. }) && column.are_steps() {
                column.values.iter_mut().filter(|value| !is_step(**value)).for_each(|value| *value = f64::NAN);
            }
        }
        let norms = &self.kept[chosen];
        let file = || self.source.file.to_owned();
        if let Some((line, got)) = norms.negative {
            return Err(Error::LoggedNorm { file: file(), line, got });
        }
        let steps = self.steps_of(norms);
        let is_skipped = |at: &usize| {
            norms.values[*at].is_nan() || norms.values[*at] < 0.0 || steps.is_some_and(|steps| steps[*at].is_nan())
        };
        let (skipped, with): (Vec<usize>, Vec<usize>) = (0..self.rows).partition(is_skipped);
        let finite: Vec<usize> = with.iter().copied().filter(|at| norms.values[*at].is_finite()).collect();
        if finite.is_empty() {
            return Err(Error::NoNorms { file: file() });
        }
        let values: Vec<f64> = finite.iter().map(|at| norms.values[*at]).collect();
        let steps = steps.map(|steps| finite.iter().map(|at| steps[*at]).collect());
        let ordered = run::ordered(values, steps, self.plan);
        Ok(NormLog {
            column: norms.name.clone(),
            repeated: (finite.len() - ordered.norms.len()) as u64,
            norms: ordered.norms,
            run: ordered.run,
            skipped: skipped.len() as u64,
            infinite: (with.len() - finite.len()) as u64,
            passed_over: self.passed_over,
        })
    }

    /// Which column has the norms.
    fn chosen(&self) -> Result<usize, Error> {
        let file = || self.source.file.to_owned();
        let of = |meaning| (0..self.kept.len()).filter(move |at| self.kept[*at].meaning == meaning);
        if let Some(asked) = self.source.column {
            let best = of(Meaning::Norm).filter_map(|at| Some((match_of(&self.kept[at].name, asked)?, at)));
            let mut best: Vec<(u8, usize)> = best.collect();
            best.sort_unstable();
            best.retain({
                let least = best.first().map(|(quality, _)| *quality);
                move |(quality, _)| Some(*quality) == least
            });
            return match best.as_slice() {
                [] => self.none_of(asked),
                [(_, at)] => Ok(*at),
                several => Err(self.several(several.iter().map(|(_, at)| *at))),
            };
        }
        let named: Vec<usize> = of(Meaning::Norm).collect();
        let candidates: Vec<usize> = named.iter().copied().filter(|at| self.kept[*at].has_numbers()).collect();
        match candidates.as_slice() {
            [at] => return Ok(*at),
            [] if !named.is_empty() => return Err(Error::NoNorms { file: file() }),
            [] => {}
            several => {
                let usual = several.iter().copied().find(|at| self.kept[*at].name == USUAL);
                return usual.ok_or_else(|| self.several(several.iter().copied()));
            }
        }
        let is_told = |name: &String| Meaning::of(name) == Meaning::Other;
        match of(Meaning::Value).collect::<Vec<_>>().as_slice() {
            [at] if !self.names.iter().any(is_told) => Ok(*at),
            _ => self.none_of(USUAL),
        }
    }

    fn none_of(&self, column: &str) -> Result<usize, Error> {
        let file = self.source.file.to_owned();
        if self.names.is_empty() {
            return Err(Error::NoNorms { file });
        }
        let more = if self.names.len() > LISTED { ", …" } else { "" };
        let present = self.names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ") + more;
        Err(Error::NormColumn { file, column: column.to_owned(), present })
    }

    fn several(&self, columns: impl Iterator<Item = usize>) -> Error {
        let names: Vec<String> = columns.take(LISTED).map(|at| format!("`{}`", self.kept[at].name)).collect();
        Error::SeveralNorms { file: self.source.file.to_owned(), columns: names.join(", ") }
    }

    /// The steps of the rows that have a norm: of the columns that most of these rows have, the one with the surest name.
    fn steps_of(&self, norms: &Column) -> Option<&[f64]> {
        let with = |steps: &[f64]| steps.iter().zip(&norms.values).filter(|(a, b)| !a.is_nan() && !b.is_nan()).count();
        let all = norms.values.iter().filter(|norm| !norm.is_nan()).count();
        let found = self.kept.iter().filter_map(|column| match column.meaning {
            Meaning::Step { rank } if column.are_steps() => Some((all - with(&column.values), rank, column)),
            _ => None,
        });
        let (missing, _, column) = found.min_by_key(|(missing, rank, _)| (*missing, *rank))?;
        (missing * 2 <= all).then_some(column.values.as_slice())
    }
}
