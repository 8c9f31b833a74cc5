//! Other id or domain columns for sidecars that are already there.

use headwater_corpus::{Columns, PlannedShard, UnitDocuments, UnitStart, Wanted};
use headwater_run::SidecarFooter;
use headwater_run::sidecar::Relabelling;
use headwater_store::Place;

use crate::Error;
use crate::unit::domain_of;

/// What [`relabel_units`] did to a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabelled {
    /// The sidecar was rewritten.
    Rewritten,
    /// It had those columns already.
    Unchanged,
}

/// A sidecar and what it is to say of itself.
#[derive(Clone, Debug)]
pub struct SidecarToRelabel {
    /// What it is to say.
    pub footer: SidecarFooter,
    /// Where it lies, relative to the run.
    pub path: String,
}

/// The shard that sidecars are about, and its columns.
#[derive(Clone, Copy, Debug)]
pub struct LabelSource<'a> {
    /// The shard.
    pub shard: &'a PlannedShard,
    /// The columns that ids and domains are in.
    pub columns: &'a Columns,
}

/// Rewrites the id and domain columns of sidecars of one shard, in the order of its rows, reading those columns of the shard but
/// neither texts nor the model. `on_unit` is told what became of each sidecar.
///
/// # Errors
/// [`headwater_run::Error::Damaged`] if a sidecar cannot be read or does not match the shard's rows; what the store says.
pub fn relabel_units(
    source: LabelSource<'_>,
    sidecars: &[SidecarToRelabel],
    run: &Place,
    on_unit: &dyn Fn(Relabelled),
) -> Result<(), Error> {
    let mut read: Option<UnitDocuments> = None;
    for sidecar in sidecars {
        on_unit(relabel_unit(source, sidecar, run, &mut read)?);
    }
    Ok(())
}

/// Rewrites one sidecar; `read` is the unit that was read last, from which the next one may go on.
fn relabel_unit(
    source: LabelSource<'_>,
    sidecar: &SidecarToRelabel,
    run: &Place,
    read: &mut Option<UnitDocuments>,
) -> Result<Relabelled, Error> {
    let LabelSource { shard, columns } = source;
    let unit = &sidecar.footer.unit;
    let Some(relabelling) = Relabelling::open(run, &sidecar.path, &sidecar.footer)? else {
        return Ok(Relabelled::Unchanged);
    };
    let (mut ids, mut domains) = (Vec::new(), Vec::new());
    let gone_on = read.take().and_then(|mut before| before.advance_to(unit).then_some(before));
    let anew = || UnitStart::new(shard, columns, unit).with_wanted(Wanted::Labels).open();
    let mut documents = gone_on.map_or_else(anew, Ok)?;
    for document in documents.by_ref() {
        let document = document?;
        ids.push(document.id);
        domains.push(domain_of(columns, document.domain));
    }
    *read = Some(documents);
    relabelling.write(&ids, &domains)?;
    Ok(Relabelled::Rewritten)
}
