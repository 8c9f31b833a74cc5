"""Schedules for PyTorch: python3 -m unittest discover tests/python"""

import csv
import importlib.util
import subprocess
import unittest
from pathlib import Path

from site_of_tests import site

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("headwater", "torch"))


@unittest.skipUnless(HAS_TORCH, "the packages headwater and torch are not installed")
class Schedulers(unittest.TestCase):
    def test_every_step_has_the_rate_of_the_table(self) -> None:
        import headwater
        import torch
        from headwater.schedulers import from_recipe

        with site() as folder:
            for schedule in ["wsd:decay=0.2,shape=1-sqrt,warmup=0.01", "cosine:floor=0.1", "polynomial:exponent=2,warmup=0.1"]:
                with self.subTest(schedule):
                    arguments = ["schedule", "show", schedule, "--steps=5000", "--peak-lr=0.0004", "--csv=all.csv", "--csv-rows=5000"]
                    subprocess.run([headwater.find_command(), *arguments], check=True, capture_output=True)
                    with (folder / "all.csv").open(newline="") as file:
                        table = [(int(row["step"]), float(row["lr"])) for row in csv.DictReader(file)]
                    self.assertEqual([step for step, _ in table], list(range(5001)))
                    parameter, other = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
                    optimizer = torch.optim.AdamW([{"params": [parameter], "lr": 0.0004}, {"params": [other], "lr": 0.00004}], lr=0.0004)
                    scheduler = from_recipe(optimizer, schedule, steps=5000, peak_lr=0.0004)
                    for step, rate in table:
                        self.assertEqual(optimizer.param_groups[0]["lr"], rate, step)
                        self.assertAlmostEqual(optimizer.param_groups[1]["lr"], rate / 10, delta=1e-18)
                        optimizer.step()
                        scheduler.step()
                    self.assertEqual(optimizer.param_groups[0]["lr"], table[-1][1])

    def test_a_run_goes_on_from_its_state(self) -> None:
        import torch
        from headwater.schedulers import from_recipe

        def begin() -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
            return optimizer, from_recipe(optimizer, "wsd:decay=0.5", steps=100, peak_lr=0.1)

        first, scheduler = begin()
        for _ in range(70):
            first.step()
            scheduler.step()
        state = scheduler.state_dict()
        self.assertNotIn("rates", state)
        second, resumed = begin()
        second.load_state_dict(first.state_dict())
        resumed.load_state_dict(state)
        for _ in range(20):
            for optimizer, of_it in [(first, scheduler), (second, resumed)]:
                optimizer.step()
                of_it.step()
            self.assertEqual(first.param_groups[0]["lr"], second.param_groups[0]["lr"])

    def test_a_pipeline_has_a_schedule_and_nonsense_is_refused(self) -> None:
        import headwater
        import torch
        from headwater.schedulers import from_recipe

        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        with site():
            scheduler = from_recipe(optimizer, Path("pipeline.toml"), tokens=2e7)
            self.assertGreater(len(scheduler.rates), 10)
            with self.assertRaisesRegex(headwater.UsageError, "wsdd"):
                from_recipe(optimizer, "wsdd", steps=10)


if __name__ == "__main__":
    unittest.main()
