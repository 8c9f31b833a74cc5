//! A part of the text, its stretches, and which of their files are missing.

use std::collections::BTreeSet;

use headwater_corpus::Plan;
use headwater_store::Place;

use crate::folder::{Completion, Folder};
use crate::stretch::{Stretch, describe, stretches};
use crate::{Result, TextPart, TokenFormat, TokenizerSetup};

/// Documents to write, and where.
#[derive(Clone, Debug)]
pub struct PartPlan<'a> {
    /// Which documents these are.
    pub part: TextPart,
    /// The folder that gets a folder for each format, relative to the run.
    pub folder: String,
    /// The documents.
    pub plan: &'a Plan,
}

/// The share of one machine: every stretch whose number leaves the remainder `index` when divided by `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which share, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

/// What is to do for a part.
#[derive(Debug)]
pub struct TokenWork<'a> {
    pub(crate) setup: &'a TokenizerSetup<'a>,
    pub(crate) part: TextPart,
    pub(crate) stretches: Vec<Stretch<'a>>,
    pub(crate) folders: Vec<Folder>,
    share: Share,
}

/// How far a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The formats whose manifests are written.
    pub complete: Vec<TokenFormat>,
    /// Documents of the complete ones whose text spells the token that ends documents.
    pub documents_with_eos: u64,
    /// Files of the others that other machines are still to write.
    pub missing: usize,
    /// Rows of skipped shards that the complete files lack; see [`Watch::may_skip`](crate::Watch::may_skip).
    pub unreadable: u64,
}

impl<'a> TokenWork<'a> {
    /// Begins the folders of `part` below `run`, or compares with the settings that began them.
    ///
    /// # Errors
    /// [`Error::OtherSettings`](crate::Error::OtherSettings) if a folder holds files made with another tokenizer, end token, width
    /// or text; what the store says.
    pub fn begin(run: &Place, setup: &'a TokenizerSetup<'a>, part: &PartPlan<'a>, share: Share) -> Result<Self> {
        let stretches = stretches(part.plan, setup.config.file_bytes.0);
        let plan = describe(&stretches);
        let formats: BTreeSet<TokenFormat> = setup.config.formats.iter().copied().collect();
        let open = |format: TokenFormat| {
            let place = run.child(&format!("{}/{}", part.folder, format.name()));
            Folder::open(place, format, setup.settings(format, plan.clone()))
        };
        let folders = formats.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Self { setup, part: part.part, stretches, folders, share })
    }

    /// Returns the rows of the stretches of this share that lack a file.
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        self.pending().iter().map(|stretch| stretch.rows()).sum()
    }

    /// The stretches of this share that lack a file, in order.
    pub(crate) fn pending(&self) -> Vec<&Stretch<'a>> {
        let is_ours = |(number, _): &(usize, _)| number % self.share.of.max(1) == self.share.index;
        let lacks = |stretch: &&Stretch<'a>| self.folders.iter().any(|folder| !folder.has(stretch));
        self.stretches.iter().enumerate().filter(is_ours).map(|(_, stretch)| stretch).filter(lacks).collect()
    }

    /// Writes the manifests of the formats that are done.
    pub(crate) fn complete(&self) -> Result<Progress> {
        let mut progress = Progress { complete: Vec::new(), documents_with_eos: 0, missing: 0, unreadable: 0 };
        for folder in &self.folders {
            match folder.complete(&self.part.name(), &self.stretches)? {
                Completion::Done { documents_with_eos, unreadable } => {
                    progress.complete.push(folder.format);
                    // every format has and lacks the same documents
                    progress.documents_with_eos = progress.documents_with_eos.max(documents_with_eos);
                    progress.unreadable = progress.unreadable.max(unreadable);
                }
                Completion::Lacks { stretches } => progress.missing += stretches,
            }
        }
        Ok(progress)
    }
}
