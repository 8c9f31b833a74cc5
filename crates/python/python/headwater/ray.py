"""Runs a pipeline on a Ray cluster: ``python -m headwater.ray PIPELINE.toml --num-workers 8 --cpus-per-worker 16``.

A task of Ray is one part of the plan, worked on by the command ``headwater`` as a process of its own. Corpus, output and pipeline lie on
storage that all nodes reach; nothing goes through Ray's object store. What is finished is kept, so a driver, worker or node may die at any
time: the same call goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater._command import DONE, INCOMPLETE, TRANSIENT, USER_ERROR, HeadwaterError, find_command, run_command
from headwater._stages import part_of

PARTS_PER_WORKER = 8
"""Parts of the plan for each worker: many, so that none waits long for the last one."""

MOST_PAUSE = 60.0
"""Seconds between two rounds, at most."""

MOST_LINES = 40
"""Last lines of standard error that a failed command's message holds."""


@dataclass(frozen=True)
class Work:
    """One call of the command: ``part`` is ``(i, n)``, or ``None`` for all."""

    command: str
    arguments: tuple[str, ...]
    part: tuple[int, int] | None

    def call(self) -> list[str]:
        """The command's arguments."""
        return [self.command, *self.arguments, *part_of(self.part)]

    def __str__(self) -> str:
        return self.command if self.part is None else f"{self.command} {self.part[0]}/{self.part[1]}"


@dataclass(frozen=True)
class Outcome:
    """How a call ended: its exit code, the last lines of its standard error, and the seconds that it took."""

    code: int
    said: str
    seconds: float


def work_on(call: Sequence[str], threads: int, folder: str) -> Outcome:
    """Runs the command in ``folder`` with ``threads`` threads to its end. This is what a task of Ray does.

    A task that is cancelled, or whose worker process dies, takes the command with it.
    """
    began = time.monotonic()
    try:
        command = find_command()
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"the folder {folder} is not on this node: start the driver in a folder that all nodes have")
    except FileNotFoundError as error:
        return Outcome(USER_ERROR, f"error: {error}\n", 0.0)
    last: deque[str] = deque(maxlen=MOST_LINES)
    with subprocess.Popen(
        [command, *call],
        cwd=folder,
        env={**os.environ, "RAYON_NUM_THREADS": str(threads)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last.append(line)
                print(line, end="", file=sys.stderr, flush=True)
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    # a signal that the command did not catch, such as the kernel's when memory is short: another try may fare better
    if code < 0:
        last.append(f"error: headwater was ended by {signal.Signals(-code).name}\n")
        code = TRANSIENT
    return Outcome(code, "".join(last), time.monotonic() - began)


def _die_with_parent() -> None:
    """Asks Linux to end this process when the one that started it dies."""
    import ctypes

    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


class Failed(Exception):
    """A command ended in a way that no other try mends; ``code`` is its exit code."""

    def __init__(self, work: Work, outcome: Outcome) -> None:
        super().__init__(f"`headwater {shlex.join(work.call())}` ended with exit code {outcome.code}:\n{outcome.said.rstrip()}")
        self.code = outcome.code


class Cluster:
    """Deals calls of the command to workers of a Ray cluster."""

    def __init__(self, ray: Any, options: argparse.Namespace, tell: Callable[[str], None]) -> None:
        self.ray, self.options, self.tell = ray, options, tell
        # the command comes back with 75 for what another try may mend; Ray itself tries again when a node or worker is lost
        self.task = ray.remote(
            num_cpus=options.cpus_per_worker,
            num_gpus=options.gpus_per_worker,
            max_retries=options.retries,
        )(work_on)

    def run(self, works: list[Work]) -> bool:
        """Runs ``works`` to their ends, each again while another try may help; says whether all is complete.

        Raises:
            Failed: when one cannot succeed. Those that run are then cancelled.
        """
        complete, in_vain = True, 0
        while True:
            ended = self._round(works)
            complete &= all(outcome.code != INCOMPLETE for _, outcome in ended)
            again = [(work, outcome) for work, outcome in ended if outcome.code == TRANSIENT]
            if not again:
                return complete
            # the first parts of a cascade wait for the last, so a round that ends some is not in vain
            in_vain = 0 if len(again) < len(works) else in_vain + 1
            if in_vain > self.options.retries:
                raise Failed(*again[0])
            works = [work for work, _ in again]
            self.tell(f"{len(works)} to be tried again (exit code {TRANSIENT})")
            time.sleep(min(MOST_PAUSE, 2.0**in_vain - 1))

    def _round(self, works: list[Work]) -> list[tuple[Work, Outcome]]:
        """Runs each of ``works`` once, as many at a time as there are workers."""
        options, ended = self.options, []
        waiting, running = deque(works), dict[Any, Work]()
        began = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < options.num_workers:
                    work = waiting.popleft()
                    running[self.task.remote(work.call(), options.cpus_per_worker, os.getcwd())] = work
                ready, _ = self.ray.wait(list(running), num_returns=1)
                for reference in ready:
                    work = running.pop(reference)
                    outcome = self.ray.get(reference)
                    ended.append((work, outcome))
                    left = (time.monotonic() - began) / len(ended) * (len(works) - len(ended))
                    shown = f", about {left:.0f} s left" if left >= 1 else ""
                    how = "" if outcome.code == DONE else f", exit code {outcome.code}"
                    self.tell(f"{work}: {outcome.seconds:.1f} s{how} ({len(ended)} of {len(works)}{shown})")
                    if outcome.code not in (DONE, INCOMPLETE, TRANSIENT):
                        raise Failed(work, outcome)
        except BaseException:
            for reference in running:
                self.ray.cancel(reference)
            raise
        return ended


def works_of(command: str, is_divided: bool, arguments: Sequence[str], parts: int) -> list[Work]:
    """The calls of a command: one, or one for each part."""
    if not is_divided:
        return [Work(command, tuple(arguments), None)]
    return [Work(command, tuple(arguments), (index, parts)) for index in range(parts)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The driver; returns the exit code of ``headwater``."""
    options = _parser().parse_args(arguments)
    of_pipeline = [options.pipeline, *(f"--set={override}" for override in options.set)]
    try:
        import ray
    except ImportError:
        return _complain("Ray is not installed: pip install 'headwater[ray]'", USER_ERROR)
    try:
        plan = json.loads(run_command(["plan", *of_pipeline, "--json"], may_be_incomplete=True))
    except HeadwaterError as error:
        return _complain(str(error), error.code)

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        ray.init(address=options.address, log_to_driver=options.verbose, configure_logging=False)
    except ConnectionError as error:
        return _complain(f"no Ray cluster at --address {options.address}: {error}", USER_ERROR)
    try:
        shortage = _shortage([node["Resources"] for node in ray.nodes() if node["Alive"]], options)  # type: ignore[no-untyped-call]
        if shortage:
            return _complain(shortage, USER_ERROR)
        cluster = Cluster(ray, options, tell)
        parts = options.parts or min(max(plan["total"]["units"], 1), options.num_workers * PARTS_PER_WORKER)
        commands = plan["commands"]
        if options.command != "run":
            commands = [{"command": options.command, "is_divided": options.command not in ("heads", "distill", "select")}]
        complete = True
        for planned in commands:
            works = works_of(planned["command"], planned["is_divided"], of_pipeline, parts)
            complete &= cluster.run(works)
        tell("done" if complete else "done, with rejects above max_rejects or shards skipped (exit code 2)")
        return DONE if complete else INCOMPLETE
    except Failed as failure:
        return _complain(str(failure), failure.code)
    except KeyboardInterrupt:
        return _complain("stopped by Ctrl-C\nnothing that was computed is lost: run the same command again to go on", TRANSIENT)
    except ray.exceptions.RayError as error:
        return _complain(f"Ray gave up: {error}\nnothing that was computed is lost: run the same command again to go on", TRANSIENT)
    finally:
        ray.shutdown()


def _shortage(nodes: Sequence[dict[str, float]], options: argparse.Namespace) -> str | None:
    """What every node lacks for even one worker; ``nodes`` are their resources."""
    for name, option, wanted in [
        ("CPU", "--cpus-per-worker", options.cpus_per_worker),
        ("GPU", "--gpus-per-worker", options.gpus_per_worker),
    ]:
        most = max((node.get(name, 0) for node in nodes), default=0)
        if wanted > most:
            return f"the largest node of the cluster has {most:g} {name}s, and {option} asks for {wanted}: no worker could ever start"
    return None


def _complain(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr, flush=True)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headwater.ray",
        description="Runs a pipeline on a Ray cluster: every stage, the long ones in parts. What is finished is kept, so the same call goes on "
        "where an earlier one stopped. Pipeline, corpus, output and model lie where every node reaches them.",
        epilog="Exit codes are those of headwater: 0 done, 1 something to change, 2 finished with unusable documents above max_rejects or "
        "shards skipped, 70 a bug, 75 try again.",
    )
    parser.add_argument("pipeline", help="the pipeline, a TOML file")
    parser.add_argument("--num-workers", type=_positive, required=True, help="calls of headwater at the same time")
    parser.add_argument("--cpus-per-worker", type=_positive, required=True, help="threads of each, and the CPUs that Ray reserves for it")
    parser.add_argument("--gpus-per-worker", type=_whole, default=0, help="whole GPUs of each (0)")
    parser.add_argument("--address", help="the cluster, such as auto; by default the one of this machine or a new one on it")
    parser.add_argument(
        "--command",
        choices=["run", "heads", "distill", "score", "features", "select", "tokens", "trial"],
        default="run",
        help="only this command, in parts if it takes them (run: every stage)",
    )
    parser.add_argument("--parts", type=_positive, help=f"parts of the plan ({PARTS_PER_WORKER} a worker, at most one a unit)")
    parser.add_argument("--retries", type=_whole, default=20, help="tries of what another try may mend, in vain, before giving up (20)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key; may be repeated")
    parser.add_argument("--verbose", action="store_true", help="show what every worker prints")
    return parser


def _whole(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("it cannot be negative")
    return count


def _positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1 is needed")
    return count


if __name__ == "__main__":
    # workers find functions by the name of their module, which is not __main__
    from headwater.ray import main as driver

    sys.exit(driver())
