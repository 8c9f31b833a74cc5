//! Windows of several documents in batches, for an engine that takes them so.
//!
//! On a device the last bits of a loss may depend on the shape of its batch. So which windows are batched together follows from the unit
//! alone: its documents form groups in their order, and the windows of a group are batched by length.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use headwater_model::{Concurrency, Error, WindowLosses};

use crate::document::{DocumentScore, ScoredWindow, Windowing, document_score};
use crate::scorer::Teacher;
use crate::unit::Prepared;

/// Text after which a group is full, in bytes: many batches, and a fraction of what is read ahead.
const GROUP_BYTES: usize = 1 << 20;

/// Consecutive documents of a unit whose windows are batched together.
#[derive(Debug, Default)]
struct Group {
    /// Documents that have not arrived.
    missing: usize,
    bytes: usize,
    is_full: bool,
    documents: BTreeMap<usize, Prepared>,
}

/// Documents of a group in their order, each with its number in the unit.
pub(crate) type Together = Vec<(usize, Prepared)>;

/// The groups of a unit.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    /// The group of each document.
    group_of: Vec<usize>,
}

impl Groups {
    /// Makes room for the unit's next document, which counts for `bytes`.
    pub(crate) fn expect(&mut self, bytes: usize) {
        if self.groups.last().is_none_or(|group| group.is_full) {
            self.groups.push(Group::default());
        }
        self.group_of.push(self.groups.len() - 1);
        if let Some(group) = self.groups.last_mut() {
            group.missing += 1;
            group.bytes += bytes;
            group.is_full = group.bytes >= GROUP_BYTES;
        }
    }

    /// Takes a document that was expected, or `None` if it needs no model; returns its group if that is complete.
    pub(crate) fn arrived(&mut self, number: usize, prepared: Option<Prepared>) -> Together {
        let group = &mut self.groups[self.group_of[number]];
        group.missing -= 1;
        group.documents.extend(prepared.map(|prepared| (number, prepared)));
        group.take_if_complete()
    }

    /// Says that no more documents come; returns the last group if it is complete.
    pub(crate) fn end(&mut self) -> Together {
        let Some(group) = self.groups.last_mut() else { return Together::new() };
        group.is_full = true;
        group.take_if_complete()
    }
}

impl Group {
    fn take_if_complete(&mut self) -> Together {
        let is_complete = self.is_full && self.missing == 0;
        if is_complete { std::mem::take(&mut self.documents).into_iter().collect() } else { Together::new() }
    }
}

/// The tokens of a document, and what decides which windows are scored.
#[derive(Clone, Copy)]
pub(crate) struct ToScore<'t> {
    pub(crate) tokens: &'t [u32],
    pub(crate) draw: u64,
}

impl<'t> From<&'t Prepared> for ToScore<'t> {
    fn from(prepared: &'t Prepared) -> Self {
        Self { tokens: &prepared.tokens, draw: prepared.draw }
    }
}

/// A window with what leads it, and where its losses go.
struct Window {
    document: usize,
    number: usize,
    first_token: usize,
    tokens: Vec<u32>,
}

/// Scores documents by their tokens; `None` of one that has no target, and of all if `on_window`, which is told the tokens of every window
/// done, ends it.
///
/// # Errors
/// What the engine says, and of which document.
pub(crate) fn score_together(
    teacher: &Teacher<'_>,
    windowing: Windowing<'_>,
    documents: &[ToScore<'_>],
    on_window: &dyn Fn(usize) -> ControlFlow<()>,
) -> Result<Option<Vec<Option<DocumentScore>>>, (usize, Error)> {
    let leading = windowing.leading;
    let mut scored: Vec<Vec<Option<ScoredWindow>>> = Vec::with_capacity(documents.len());
    let mut windows = Vec::new();
    for (document, ToScore { tokens, draw }) in documents.iter().enumerate() {
        let before = windows.len();
        windows.extend(windowing.cut(tokens, *draw).enumerate().map(|(number, window)| Window {
            document,
            number,
            first_token: window.first_token,
            tokens: [leading, window.tokens].concat(),
        }));
        scored.push(vec![None; windows.len() - before]);
    }
    // stable: windows of one length keep the order of their documents
    windows.sort_by_key(|window| std::cmp::Reverse(window.tokens.len()));
    let mut left = &windows[..];
    while let Some(longest) = left.first() {
        let (batch, rest) =
            left.split_at(batch_windows(teacher.engine.concurrency(), longest.tokens.len()).min(left.len()));
        left = rest;
        // they come last: there is nothing to predict in them
        let with_targets = batch.iter().take_while(|window| window.tokens.len() > 1).count();
        for (window, losses) in batch.iter().zip(batch_losses(teacher, &batch[..with_targets])?) {
            scored[window.document][window.number] = Some(ScoredWindow::new(window.first_token, losses, leading));
        }
        for window in batch {
            if on_window(window.tokens.len() - leading.len()).is_break() {
                return Ok(None);
            }
        }
    }
    Ok(Some(scored.iter().map(|windows| document_score(windows.iter().flatten())).collect()))
}

/// Windows of a batch whose longest has `tokens`.
fn batch_windows(concurrency: Concurrency, tokens: usize) -> usize {
    match concurrency {
        Concurrency::WindowPerThread => 1,
        Concurrency::Batch { tokens: most } => (most / tokens.max(1)).max(1),
    }
}

/// The losses of each of `batch`. An error is of the first window that fails alone, or of the first one if none does.
fn batch_losses(teacher: &Teacher<'_>, batch: &[Window]) -> Result<Vec<WindowLosses>, (usize, Error)> {
    let Some(first) = batch.first() else { return Ok(Vec::new()) };
    let windows: Vec<&[u32]> = batch.iter().map(|window| &window.tokens[..]).collect();
    teacher.engine.batch_losses(&windows, &teacher.mask).map_err(|error| {
        let fails =
            |window: &Window| Some((window.document, teacher.engine.losses(&window.tokens, &teacher.mask).err()?));
        let culprit = if batch.len() > 1 { batch.iter().find_map(fails) } else { None };
        culprit.unwrap_or((first.document, error))
    })
}

#[cfg(test)]
mod tests;
