"""The installed package: python3 -m unittest discover tests/python, after pip install ./crates/python[arrow]"""

import contextlib
import importlib.util
import io
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import venv
import warnings
from pathlib import Path
from typing import Any

from site_of_tests import REPOSITORY, artefacts, site

HAS_PACKAGE = importlib.util.find_spec("headwater") is not None
HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
WHEEL = os.environ.get("HEADWATER_WHEEL")


def quiet(event: dict[str, Any]) -> None:
    """Shows no progress."""


@unittest.skipUnless(HAS_PACKAGE and HAS_ARROW, "the packages headwater and pyarrow are not installed")
class Package(unittest.TestCase):
    def test_a_run_and_its_scores(self) -> None:
        import headwater

        with site() as folder:
            plan = headwater.plan("pipeline.toml")
            self.assertEqual((plan["total"]["documents"], plan["commands"][0]["command"]), (120, "heads"))
            run = headwater.Run("pipeline.toml")
            self.assertIsNone(run._repr_html_())
            with self.assertRaisesRegex(headwater.UsageError, "no scores yet: run `headwater score pipeline.toml` first"):
                run.scores()
            events: list[dict[str, Any]] = []
            run = headwater.run(Path("pipeline.toml"), {"select.fraction": 0.5}, on_event=events.append)
            self.assertIn("planned", [event.get("event") for event in events])
            self.assertTrue(all(event["message"] for event in events))
            self.assertEqual(run.output, "out")
            self.assertEqual(sum(domain["kept_documents"] for domain in run.selection()["domains"]), 60)
            self.assertIn("30 of 60", run._repr_html_())
            scores = run.scores()
            self.assertEqual(scores.count_rows(), 120)
            self.assertIn("influence", scores.schema.names)
            selected = headwater.select("pipeline.toml", {"select.fraction": 0.1}, on_event=quiet)
            self.assertEqual((selected["verdict"], [d["kept_documents"] for d in selected["domains"]]), ("complete", [6, 6]))
            self.assertEqual(headwater.status("pipeline.toml")["scoring"]["documents_left"], 0)
            # another run's sidecars in the same folder are none of this run's
            other = headwater.run("pipeline.toml", {"heads.file": str(other_heads(folder))}, rescore=True, on_event=quiet)
            self.assertEqual(other.scores().count_rows(), 120)

    def test_dataframes_read_the_scores(self) -> None:
        import headwater

        with site():
            scores = headwater.run("pipeline.toml", on_event=quiet).scores()
            best = scores.to_table(columns=["id", "influence"]).to_pandas().nlargest(3, "influence")["id"].tolist()
            if importlib.util.find_spec("polars"):
                import polars

                frame = polars.scan_pyarrow_dataset(scores).sort("influence", descending=True).head(3).collect()
                self.assertEqual(frame["id"].to_list(), best)
            if importlib.util.find_spec("duckdb"):
                import duckdb

                rows = duckdb.sql("SELECT id FROM scores ORDER BY influence DESC LIMIT 3").fetchall()
                self.assertEqual([row[0] for row in rows], best)

    def test_a_report_shows_in_a_notebook(self) -> None:
        import headwater

        with site():
            headwater.run("pipeline.toml", on_event=quiet)
            report = headwater.report("pipeline.toml")
            self.assertEqual(report.location, "out/report.html")
            self.assertTrue(report.html.lstrip().startswith("<!DOCTYPE html>"))
            shown = report._repr_html_()
            self.assertTrue(shown.startswith("<iframe ") and "&lt;!DOCTYPE" in shown)

    def test_errors_have_the_commands_words(self) -> None:
        import headwater

        with site() as folder:
            for overrides, said in [
                ({"select.fraction": 2}, "select.fraction"),
                ({"select.fractoin": 0.1}, "fraction"),
                ({"model.name": "no/such/model"}, "no/such/model"),
                ({"select.fraction": -0.5}, "select.fraction"),
                ({"model.device": "cpu", "model.engine": "warp"}, "torch"),
            ]:
                with self.assertRaisesRegex(headwater.UsageError, said) as raised:
                    headwater.run("pipeline.toml", overrides, on_event=quiet)
                self.assertEqual(raised.exception.code, 1)
                command = [headwater.find_command(), "run", "pipeline.toml"]
                command += [f"--set={key}={value}" for key, value in overrides.items()]
                printed = subprocess.run(command, capture_output=True, text=True).stderr.strip()
                self.assertTrue(printed.endswith(f"error: {raised.exception}"), (printed, str(raised.exception)))
            with self.assertRaisesRegex(headwater.UsageError, "nowhere.toml"):
                headwater.plan(folder / "nowhere.toml")
            with self.assertRaisesRegex(TypeError, "no value of a pipeline"):
                headwater.plan("pipeline.toml", {"select.fraction": None})
            with self.assertRaises(headwater.UsageError):
                headwater.score("pipeline.toml", part=(3, 2), on_event=quiet)
            copied = pickle.loads(pickle.dumps(headwater.TransientError("later", 75)))
            self.assertEqual((type(copied), str(copied), copied.code), (headwater.TransientError, "later", 75))

    def test_rejects_raise_and_all_is_written(self) -> None:
        import headwater
        import pyarrow
        import pyarrow.parquet

        with site() as folder:
            pyarrow.parquet.write_table(pyarrow.table({"text": [None, None, None]}, schema=TEXT()), folder / "corpus/2.parquet")
            with warnings.catch_warnings(record=True), self.assertRaises(headwater.IncompleteError) as raised:
                warnings.simplefilter("always")
                headwater.run("pipeline.toml", {"score.max_rejects": 0.0}, on_event=quiet)
            self.assertEqual(raised.exception.code, 2)
            with self.assertWarnsRegex(UserWarning, "max_rejects"):
                selected = headwater.select("pipeline.toml", {"score.max_rejects": 0.0}, on_event=quiet)
            self.assertEqual(selected["verdict"], "partial")
            self.assertEqual(len(headwater.Run("pipeline.toml").selection()["domains"]) > 1, True)

    def test_batches_are_scored_as_the_pipeline_scores(self) -> None:
        import headwater
        import pyarrow.parquet

        with site() as folder:
            scores = headwater.run("pipeline.toml", on_event=quiet).scores().to_table().to_pylist()
            expected = {row["id"]: row["influence"] for row in scores}
            scorer = headwater.Scorer("pipeline.toml", "out/heads.json", threads=1)
            batch = scorer(pyarrow.parquet.read_table(folder / "corpus/1.parquet"))
            self.assertEqual(batch.column_names[:3], ["id", "text", "domain"])
            got = dict(zip(batch.column("id").to_pylist(), batch.column("influence").to_pylist()))
            self.assertEqual(got, {id: expected[id] for id in got})
            texts = pyarrow.table({"words": [None, "too short", batch.column("text")[0].as_py()]})
            with self.assertRaises(KeyError):
                scorer(texts)
            with self.assertRaisesRegex(ValueError, "status, tokens, loss_base"):
                scorer(batch)
            scorer.text = "words"
            self.assertEqual(scorer(texts).column("status").to_pylist(), ["null-text", "short", "scored"])
            scored = scorer(texts)
            empty = scorer(texts.slice(0, 0))
            self.assertEqual((empty.num_rows, empty.schema), (0, scored.schema))

    def test_values_are_toml(self) -> None:
        import tomllib

        from headwater._command import toml_value

        for value in ["0.5", 'a "quoted" \\ \n ü \x7f', True, 3, -0.25, 1e-7, ["a", 1], {"a b": [True]}, []]:
            self.assertEqual(tomllib.loads(f"x = {toml_value(value)}")["x"], value)

    def test_ctrl_c_ends_within_a_second_and_a_second_call_goes_on(self) -> None:
        import headwater

        with site(documents=1500) as folder:
            began = threading.Event()
            interrupted: list[float] = []

            def interrupt() -> None:
                began.wait(60)
                time.sleep(0.3)
                interrupted.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

            def watch(event: dict[str, Any]) -> None:
                if event.get("event") == "model-loaded":
                    began.set()

            waiting = threading.Thread(target=interrupt)
            waiting.start()
            with self.assertRaises(KeyboardInterrupt):
                headwater.run("pipeline.toml", on_event=watch)
            self.assertLess(time.monotonic() - interrupted[0], 1.0)
            waiting.join()
            self.assertFalse((folder / "out/selection.json").exists(), "it was too late to interrupt anything")
            headwater.run("pipeline.toml", on_event=quiet)
            (folder / "out").rename(folder / "resumed")
            headwater.run("pipeline.toml", on_event=quiet)
            self.assertEqual(artefacts(folder / "resumed"), artefacts(folder / "out"))

    def test_progress_goes_to_standard_error(self) -> None:
        import headwater

        with site(), contextlib.redirect_stderr(io.StringIO()) as printed:
            headwater.run("pipeline.toml")
        self.assertRegex(printed.getvalue(), r"(?m)^plan: \d+ units in 2 shards$")


@unittest.skipUnless(HAS_PACKAGE and HAS_ARROW, "the packages headwater and pyarrow are not installed")
class Wheel(unittest.TestCase):
    @unittest.skipUnless(WHEEL, "HEADWATER_WHEEL names no wheel")
    def test_a_fresh_environment_needs_nothing_else(self) -> None:
        import headwater

        with site() as folder, tempfile.TemporaryDirectory() as scratch:
            headwater.run("pipeline.toml", on_event=quiet)
            expected = artefacts(folder / "out")
            (folder / "out").rename(folder / "expected")
            venv.create(scratch, with_pip=True)
            python, bare = f"{scratch}/bin/python", {"PATH": f"{scratch}/bin", "XDG_CACHE_HOME": str(folder / "cache")}
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", WHEEL], check=True)
            said = subprocess.run(["headwater", "--version"], env=bare, capture_output=True, text=True, check=True).stdout
            self.assertRegex(said, r"^headwater \d")
            program = (
                "import headwater, sys\n"
                "headwater.run('pipeline.toml', on_event=lambda event: None)\n"
                "try: headwater.scores('pipeline.toml')\n"
                "except ImportError as error: print(error)\n"
                "try:\n"
                "    import headwater.ray; sys.exit(headwater.ray.main(['pipeline.toml', '--num-workers=1', '--cpus-per-worker=1']))\n"
                "except SystemExit as error: assert error.code == 1\n"
            )
            ended = subprocess.run([python, "-c", program], env=bare, capture_output=True, text=True)
            self.assertEqual(ended.returncode, 0, ended.stderr)
            self.assertIn("pip install 'headwater[arrow]'", ended.stdout)
            self.assertIn("Ray is not installed: pip install 'headwater[ray]'", ended.stderr)
            self.assertEqual(artefacts(folder / "out"), expected)
            module = subprocess.run([python, "-m", "headwater", "status", "pipeline.toml"], env=bare, capture_output=True, text=True)
            self.assertIn("0 documents left", module.stdout)

    @unittest.skipUnless(importlib.util.find_spec("mypy"), "mypy is not installed")
    def test_types_are_strict(self) -> None:
        folder = REPOSITORY / "crates/python"
        checked = subprocess.run([sys.executable, "-m", "mypy", "--strict", "python/headwater"], cwd=folder, capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        # users see the types, too
        with tempfile.TemporaryDirectory() as scratch:
            user = Path(scratch) / "user.py"
            user.write_text("import headwater\nreveal_type(headwater.run('p.toml').selection())\nheadwater.run(3)\n")
            said = subprocess.run([sys.executable, "-m", "mypy", "--strict", str(user)], cwd=scratch, capture_output=True, text=True).stdout
        self.assertIn('Revealed type is "builtins.dict[builtins.str, Any]"', said.replace("dict[str, Any]", "builtins.dict[builtins.str, Any]"))
        self.assertIn('Argument 1 to "run" has incompatible type "int"', said)


def TEXT() -> Any:
    """The schema of a shard whose texts are null."""
    import pyarrow

    return pyarrow.schema([("text", pyarrow.string())])


def other_heads(folder: Path) -> Path:
    """Another head set."""
    path = folder / "other-heads.json"
    path.write_text('{"heads": [[0, 1]]}')
    return path


if __name__ == "__main__":
    unittest.main()
