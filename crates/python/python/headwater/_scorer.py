"""Scores batches of documents that are in memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater._command import Overrides
from headwater._run import PipelinePath, ignore, import_pyarrow
from headwater._stages import stage

if TYPE_CHECKING:
    import pyarrow

ADDED = ["status", "tokens", "loss_base", "loss_masked", "influence", "influence_stderr"]
"""The columns of a score that a batch gets."""


class Scorer:
    """Adds the scores of documents to batches of them, as ``map_batches`` of Ray Data calls it.

    A call starts the command on a batch, which loads the model; batches of thousands of documents hide that. What belongs to all documents
    together, such as cuts and subsets, is a pipeline's: see ``headwater.run``. Batches are Arrow tables
    (``map_batches(..., batch_format="pyarrow")``).

    Args:
        pipeline: its model, precision and windows score; its corpus and output are not used.
        heads: the head set that all batches share, a ``heads.json``.
        overrides: keys of the pipeline that take other values.
        text: the column with the texts.
        threads: threads of a call; by default all that the processor has.
    """

    def __init__(
        self,
        pipeline: PipelinePath,
        heads: str | os.PathLike[str],
        overrides: Overrides | None = None,
        *,
        text: str = "text",
        threads: int | None = None,
    ) -> None:
        self.pipeline = os.path.abspath(pipeline)
        self.heads = os.path.abspath(heads)
        self.overrides = dict(overrides or {})
        self.text = text
        self.threads = threads

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """Returns ``batch`` with the columns :data:`ADDED`; documents that have no score have nulls and a ``status`` that says why.

        Raises:
            HeadwaterError: with the command's own words.
            KeyError: without the column of texts.
            ValueError: if the batch has such a column already.
        """
        import_pyarrow()
        import pyarrow.parquet

        texts = batch.column(self.text)
        taken = [name for name in ADDED if name in batch.column_names]
        if taken:
            raise ValueError(f"the batch has columns that the scores are given: {', '.join(taken)}; rename them")
        if batch.num_rows == 0:
            kinds = {"status": pyarrow.string(), "tokens": pyarrow.uint32()}
            for name in ADDED:
                batch = batch.append_column(name, pyarrow.array([], kinds.get(name, pyarrow.float32())))
            return batch
        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            shard = Path(folder) / "batch.parquet"
            pyarrow.parquet.write_table(pyarrow.table({"text": texts}), shard)
            source = {"name": "batch", "paths": [str(shard)], "text": "text"}
            output: dict[str, Any] = {"corpus": [source], "run.output": f"{folder}/run", "heads.file": self.heads}
            output |= {"score.by": "teacher", "score.max_rejects": 1.0}
            overrides = {**self.overrides, **output}
            environment = {} if self.threads is None else {"RAYON_NUM_THREADS": str(self.threads)}
            run = stage("score", self.pipeline, overrides, ignore, {}, env=environment)
            scores = run.scores().to_table(columns=["row", *ADDED]).sort_by("row")
        for name in ADDED:
            column = scores.column(name)
            batch = batch.append_column(name, column.cast(pyarrow.string()) if name == "status" else column)
        return batch
