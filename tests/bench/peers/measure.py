"""Clock, memory and load, as the peers and the benchmark read them."""

import os
import time
from pathlib import Path


class Stopwatch:
    """Sums the wall and processor time of the blocks that it surrounds, and sees the peak of resident memory from its making on."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        self.began, self.cpu_began = time.perf_counter(), time.process_time()

    def __exit__(self, *_exception: object) -> None:
        self.seconds += time.perf_counter() - self.began
        self.cpu_seconds += time.process_time() - self.cpu_began

    def result(self) -> dict:
        """What was measured, as a peer reports it."""
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "peak_rss_bytes": peak_rss_bytes()}


class Load:
    """What else the machine did while something ran."""

    def __init__(self) -> None:
        self.began, self.busy, self.own = time.perf_counter(), busy_seconds(), own_seconds()

    def others(self) -> float:
        """The share of all cores that went to processes not started from here."""
        busy = (busy_seconds() - self.busy) - (own_seconds() - self.own)
        return max(0.0, busy / (time.perf_counter() - self.began) / os.cpu_count())


def busy_seconds() -> float:
    """Processor seconds that the machine has worked."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds of this process and of the children that it waited for."""
    return sum(os.times()[:4])


def wait_until_idle(share: float, minutes: float) -> None:
    """Waits until others take no more than `share` of the machine for five seconds, or for `minutes`."""
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        load = Load()
        time.sleep(5)
        if load.others() <= share:
            return


def peak_rss_bytes() -> int:
    """`VmHWM` of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def processor() -> str:
    """Name, cores and the instruction sets that decide the speed of a matrix product."""
    lines = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    family = f"family {fields['cpu family']} model {fields['model']}"
    sets = " ".join(name for name in wanted if name in fields["flags"].split())
    return f"{fields['model name']} ({family}), {os.cpu_count()} cores, {sets}"
