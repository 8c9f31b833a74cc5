"""Makes the README's table of speeds from docs/benchmarks/*/peers.json, a row a processor, the latest measurement of each.

    python3 tests/bench/peers/readme_table.py            write it between the README's marks
    python3 tests/bench/peers/readme_table.py --check    end with 1 if the README has another
"""

import json
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
README = REPOSITORY / "README.md"
BEGIN, END = "<!-- speeds: made by tests/bench/peers/readme_table.py -->\n", "<!-- end of speeds -->\n"
FAMILIES = {(25, 17): "AMD Zen 4", (26, 2): "AMD Zen 5", (6, 207): "Intel Emerald Rapids"}
TORCH = ("torch-bf16", "torch-f32")
# the peers of a column, the first that was measured; names of earlier versions come last
COLUMNS = {
    "Headwater bf16": ("headwater:precision=bf16", "headwater:engine=native"),
    "Headwater as it comes (int8)": ("headwater", "headwater:engine=native:precision=int8"),
    "on AVX2 alone (int8)": ("headwater:instructions=avx2",),
}
EARLIER = "headwater:engine=native:precision=int8"  # int8 before docs/decisions/0021


def processor(text: str) -> str:
    """The name of a processor's family, and whether it has tiles."""
    family = re.search(r"family (\d+) model (\d+)", text)
    name = FAMILIES.get(tuple(map(int, family.groups()))) if family else None
    return (name or text) + (", AMX" if "amx" in text else "")


def cell(speeds: dict[str, float], names: tuple[str, ...], better: float) -> str:
    """Speed and ratio of the first peer of `names` that was measured."""
    name = next((name for name in names if name in speeds), None)
    if name is None:
        return "–"
    earlier = ", before decision 21" if name == EARLIER else ""
    return f"{speeds[name]:,.0f} ({speeds[name] / better:.1f} ×{earlier})"


def table() -> str:
    """The table, as Markdown."""
    latest = {}
    for path in sorted(REPOSITORY.glob("docs/benchmarks/*/peers.json")):
        result = json.loads(path.read_text())
        latest[processor(result["processor"])] = (path.parent, result["peers"])
    lines = [
        f"| processor | PyTorch eager bf16 / float32, tokens/s | {' | '.join(COLUMNS)} |",
        f"|---|---:|{'---:|' * len(COLUMNS)}",
    ]
    for name, (folder, peers) in sorted(latest.items()):
        speeds = {peer["peer"]: peer["tokens_per_second"]["median"] for peer in peers}
        torch = [speeds[peer] for peer in TORCH]
        cells = [
            f"[{name}]({folder.relative_to(REPOSITORY)})",
            " / ".join(f"{speed:,.0f}" for speed in torch),
            *(cell(speeds, names, max(torch)) for names in COLUMNS.values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    text = README.read_text()
    before, rest = text.split(BEGIN)
    made = before + BEGIN + table() + END + rest.split(END)[1]
    if made == text:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{README}: the table of speeds is not the one that {Path(__file__).relative_to(REPOSITORY)} makes; run it")
        return 1
    README.write_text(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
