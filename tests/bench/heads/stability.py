"""With how many probes the quickstart's search for heads stops, and what its set has in common with that of 128 probes.

    python tests/bench/heads/stability.py [--headwater target/release/headwater] [--seeds 4,0,1,2] [--folder runs/heads]

For each seed, heads are sought until stable (at most 64 probes) and with a fixed number of 16, 64 and 128; searches that --folder has are not
made again. Prints the last look of the search until stable and the heads that sets share. Searches under one seed share their first probes, so a set is
also compared with the 128 probes of the next seed, which are all others.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

PIPELINE = "pipelines/quickstart.toml"
FIXED = (16, 64, 128)
PASSES_OF_HEALTH = 5


def heads(binary: str, output: Path, **settings: object) -> dict:
    """Seeks heads, unless `output` has them; returns heads.json."""
    pairs = [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
    command = [binary, "--quiet", "heads", PIPELINE, "--allow-weak-heads", "--set", f"run.output={output}", *pairs]
    done = subprocess.run(command)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed ({done.returncode})")
    return json.loads((output / "heads.json").read_text())


def shared(one: dict, other: dict) -> int:
    """Heads in both sets."""
    return len({tuple(head) for head in one["heads"]} & {tuple(head) for head in other["heads"]})


def passes(found: dict) -> int:
    """Forward passes of a search, health included."""
    return found["search"]["probes"] + PASSES_OF_HEALTH * found["health"]["probes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--headwater", default="target/release/headwater")
    parser.add_argument("--seeds", default="4,0,1,2")
    parser.add_argument("--folder", type=Path, default=Path("runs/heads"))
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    ways = {"stable": {"heads__probes": 64, "heads__until": "stable"}}
    ways |= {count: {"heads__probes": count, "heads__until": "all"} for count in FIXED}
    found = {
        (seed, way): heads(options.headwater, options.folder / f"{seed}-{way}", run__seed=seed, **settings)
        for seed in seeds
        for way, settings in ways.items()
    }
    for at, seed in enumerate(seeds):
        stable, most = found[seed, "stable"], found[seed, 128]
        next_most = found[seeds[(at + 1) % len(seeds)], 128]
        stability = stable["search"]["stability"]
        row = {
            "seed": seed,
            "heads": len(most["heads"]),
            "decision": stability["decision"],
            **stability["looks"][-1],
            "health": {key: stable["health"][key] for key in ("probes", "healthy")},
            "health_fixed_64": found[seed, 64]["health"]["healthy"],
            "passes": {way: passes(found[seed, way]) for way in ways},
            "shared_with_128": {way: shared(found[seed, way], most) for way in ways if way != 128},
            "shared_with_128_of_next_seed": {way: shared(found[seed, way], next_most) for way in ways},
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
