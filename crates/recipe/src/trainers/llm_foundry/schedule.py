"""Registers the scheduler `headwater` with LLM Foundry: the phases that train.yaml lists. The same file for every run.

A phase lasts from the step `start` until before the step `end`, of completed steps, whatever unit max_duration has. Its rate goes
from `from` to `to`, multiples of the peak, by `shape`.
"""

from math import cos, pi, sqrt

from composer.core import State
from composer.optim import ComposerScheduler
from llmfoundry.registry import schedulers

# What is left of from - to after the share p of a phase.
LEFT = {
    "linear": lambda p, phase: 1.0 - p,
    "1-sqrt": lambda p, phase: 1.0 - sqrt(p),
    "cosine": lambda p, phase: 0.5 * (1.0 + cos(pi * p)),
    "1-square": lambda p, phase: 1.0 - p * p,
    "mirror-cosine": lambda p, phase: 2.0 * (1.0 - p) - 0.5 * (1.0 + cos(pi * p)),
    "polynomial": lambda p, phase: (1.0 - p) ** phase["exponent"],
}


class Phases(ComposerScheduler):
    """Multiplies the peak by the rate of the phase that the completed steps are in."""

    def __init__(self, phases: list[dict]) -> None:
        self.phases = [dict(phase) for phase in phases]

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        step = state.timestamp.batch.value
        phase = next((phase for phase in self.phases if step < phase["end"]), self.phases[-1])
        first, last, shape = phase["from"], phase["to"], phase["shape"]
        passed = min(step, phase["end"]) - phase["start"]
        if shape == "exponential":
            return max(last, first * 0.5 ** (passed / phase["half_life"]))
        if shape == "inverse-sqrt":
            return max(last, first * sqrt(phase["timescale"] / (phase["timescale"] + passed)))
        if shape == "power":
            return max(last, min(first, phase["coefficient"] * step ** phase["exponent"])) if step else first
        return last + (first - last) * LEFT[shape](passed / (phase["end"] - phase["start"]), phase)


schedulers.register("headwater", func=Phases)
