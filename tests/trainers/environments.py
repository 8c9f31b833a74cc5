"""The virtual environments that the trainers' own code runs in.

    python3 tests/trainers/environments.py [FOLDER]

makes those that are missing in FOLDER. They lie above the packages of `tests/requirements.txt`, which the Python that runs this
must have: a second torch would take gigabytes. An environment is made anew when its requirements change.
"""

import hashlib
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Environment:
    """How an environment is made."""

    # Its requirements, in `requirements/`; none for the packages of `tests/requirements.txt` alone.
    requirements: str | None = None
    # Lies above the packages of `tests/requirements.txt`.
    layered: bool = True
    # The oldest Python that it runs on, if the one that runs this will not do.
    python: tuple[int, int] | None = None
    # Installs dependencies that the requirements do not list.
    dependencies: bool = False


ENVIRONMENTS = {
    "nanotron": Environment(),
    "hf": Environment(),
    "megatron": Environment("megatron.txt", layered=False, python=(3, 12)),
    "torchtitan": Environment("torchtitan.txt"),
    "olmo-core": Environment("olmo_core.txt"),
    "llm-foundry": Environment("llm_foundry.txt"),
    "levanter": Environment("levanter.txt", layered=False, dependencies=True),
    "token-files": Environment("token_files.txt"),
}


class Unavailable(Exception):
    """An environment that cannot be made on this machine."""


def default_folder() -> Path:
    """Returns where environments are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HEADWATER_TRAINERS") or Path(cache) / "headwater" / "trainers")


def interpreter(oldest: tuple[int, int] | None) -> str:
    """Finds a Python at least as new as `oldest`, else raises `Unavailable`."""
    if oldest is None or sys.version_info[:2] >= oldest:
        return sys.executable
    named = [f"python3.{minor}" for minor in range(oldest[1], oldest[1] + 4)]
    kept = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))
    for candidate in [*named, *map(str, kept)]:
        command = [candidate, "-c", f"import sys, venv; sys.exit(sys.version_info[:2] < {oldest})"]
        try:
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return candidate
        except OSError:
            continue
    raise Unavailable(f"needs Python {oldest[0]}.{oldest[1]} or newer, and there is none here")


def python_of(name: str, folder: Path) -> str:
    """Returns the Python of an environment, which is made if it is missing; raises `Unavailable` if it cannot be."""
    environment = ENVIRONMENTS[name]
    if environment.requirements is None:
        return sys.executable
    requirements = HERE / "requirements" / environment.requirements
    base = Path(sysconfig.get_path("purelib"))
    wanted = hashlib.sha256(f"{base} {sys.version} {requirements.read_text(encoding='utf-8')}".encode()).hexdigest()
    target = folder / name
    python, marker = target / "bin" / "python", target / "headwater.made"
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return str(python)
    print(f"making the environment of {name} in {target}", flush=True)
    subprocess.run([interpreter(environment.python), "-m", "venv", "--clear", str(target)], check=True)
    (packages,) = target.glob("lib/python3*/site-packages")
    if environment.layered:
        (packages / "headwater_base.pth").write_text(f"{base}\n", encoding="utf-8")
    elif (base / "nvidia").is_dir() and not environment.dependencies:
        (packages / "nvidia").symlink_to(base / "nvidia")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    subprocess.run(command if environment.dependencies else [*command, "--no-deps"], check=True)
    marker.write_text(wanted, encoding="utf-8")
    return str(python)


def main() -> int:
    """Makes every environment."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default_folder()
    for name in ENVIRONMENTS:
        try:
            print(f"{name}: {python_of(name, folder)}")
        except Unavailable as reason:
            print(f"{name}: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
