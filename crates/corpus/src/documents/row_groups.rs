//! The columns that documents are read from, a row group at a time.

use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use super::Wanted;
use crate::chunks::{Chunks, PIECE_BYTES};
use crate::columns::{self, Columns, Domain};
use crate::leaf::{self, LeafReader, Seek};

/// Readers of the columns in one row group.
pub(super) struct Leaves {
    pub(super) text: Option<LeafReader>,
    pub(super) id: Option<LeafReader>,
    pub(super) domain: Option<LeafReader>,
}

impl Leaves {
    /// Passes over `rows` rows.
    pub(super) fn skip(&mut self, rows: usize) -> Result<(), ParquetError> {
        let Self { text, id, domain } = self;
        [text, id, domain].into_iter().flatten().try_for_each(|leaf| leaf.skip(rows))
    }
}

/// The column chunks of a row group that documents are read from, each with its leaf.
#[derive(Debug)]
pub(crate) struct ColumnChunks<C> {
    text: Option<(usize, C)>,
    id: Option<(usize, C)>,
    domain: Option<(usize, C)>,
}

impl<C> ColumnChunks<C> {
    /// Finds the chunks; nothing is fetched. An error names the column.
    pub(super) fn find<S: Chunks<Chunk = C>>(
        shard: &S,
        metadata: &ParquetMetaData,
        (columns, wanted): (&Columns, Wanted),
        row_group: usize,
    ) -> Result<Self, (String, ParquetError)> {
        let schema = metadata.file_metadata().schema_descr();
        let chunk = |column: &str| -> Result<Option<(usize, C)>, (String, ParquetError)> {
            // a column of default name may be of a type that cannot serve
            let leaf = columns::leaf(schema, column).filter(|leaf| columns::kind(&schema.column(*leaf)).is_some());
            let Some(leaf) = leaf else { return Ok(None) };
            let chunk = leaf::chunk(shard, metadata, (row_group, leaf), PIECE_BYTES);
            chunk.map(|chunk| Some((leaf, chunk))).map_err(|error| (column.to_owned(), error))
        };
        let missing = || (columns.text.clone(), ParquetError::General("there is no such column".to_owned()));
        Ok(Self {
            text: match wanted {
                Wanted::Documents | Wanted::Sample => Some(chunk(&columns.text)?.ok_or_else(missing)?),
                Wanted::Labels => None,
            },
            id: columns.id.as_deref().map(chunk).transpose()?.flatten(),
            domain: match &columns.domain {
                Domain::Column(column) => chunk(column)?,
                Domain::Constant(_) => None,
            },
        })
    }

    /// Starts to fetch the chunks without waiting for them; returns how many bytes are on their way.
    pub(super) fn begin<S: Chunks<Chunk = C>>(&self, shard: &S) -> Result<u64, ParquetError> {
        let chunks = [self.text.as_ref(), self.id.as_ref(), self.domain.as_ref()];
        chunks.into_iter().flatten().map(|(_, chunk)| shard.begin(chunk)).sum()
    }
}

/// Opens row groups of one shard.
pub(crate) struct RowGroups<S: Chunks> {
    shard: S,
    footer: Arc<ParquetMetaData>,
    columns: Columns,
    wanted: Wanted,
    /// The row group that is begun, and its chunks.
    begun: Option<(usize, ColumnChunks<S::Chunk>)>,
}

impl<S: Chunks> RowGroups<S> {
    pub(crate) const fn new(shard: S, footer: Arc<ParquetMetaData>, columns: Columns, wanted: Wanted) -> Self {
        Self { shard, footer, columns, wanted, begun: None }
    }

    pub(super) const fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Takes chunks of `row_group` that are begun already.
    pub(super) fn with_begun(self, row_group: usize, begun: Option<ColumnChunks<S::Chunk>>) -> Self {
        Self { begun: begun.map(|chunks| (row_group, chunks)), ..self }
    }

    fn find(&self, row_group: usize) -> Result<ColumnChunks<S::Chunk>, (String, ParquetError)> {
        ColumnChunks::find(&self.shard, &self.footer, (&self.columns, self.wanted), row_group)
    }
}

/// [`RowGroups`] of a shard of any kind.
pub(super) trait OpenRowGroup: Send {
    /// Opens the columns of `row_group` and passes over its first `skipped` rows. An error names the column.
    fn open(&mut self, row_group: usize, skipped: usize) -> Result<Leaves, (String, ParquetError)>;

    /// Starts to fetch `row_group`, which is opened next. What fails here fails again when it is opened.
    fn look_ahead(&mut self, row_group: usize);
}

impl<S: Chunks + Send> OpenRowGroup for RowGroups<S> {
    fn open(&mut self, row_group: usize, skipped: usize) -> Result<Leaves, (String, ParquetError)> {
        let begun = self.begun.take().filter(|(begun, _)| *begun == row_group);
        let found = begun.map_or_else(|| self.find(row_group), |(_, chunks)| Ok(chunks))?;
        let first = [skipped as u64];
        let seek = if self.wanted == Wanted::Sample && skipped > 0 { Seek::Lookup(&first) } else { Seek::Walk };
        let open = |(leaf, chunk): (usize, S::Chunk)| {
            let reader = LeafReader::open((&self.shard, chunk), &self.footer, (row_group, leaf), seek);
            let reader = reader.and_then(|mut reader| reader.skip(skipped).map(|()| reader));
            let name = || self.footer.file_metadata().schema_descr().column(leaf).path().string();
            reader.map_err(|source| (name(), source))
        };
        Ok(Leaves {
            text: found.text.map(open).transpose()?,
            id: found.id.map(open).transpose()?,
            domain: found.domain.map(open).transpose()?,
        })
    }

    fn look_ahead(&mut self, row_group: usize) {
        if let Ok(chunks) = self.find(row_group)
            && chunks.begin(&self.shard).is_ok()
        {
            self.begun = Some((row_group, chunks));
        }
    }
}
