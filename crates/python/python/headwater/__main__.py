"""``python -m headwater`` is the command ``headwater``."""

import os
import subprocess
import sys

from headwater._command import find_command


def main() -> int:
    """Becomes the command, or waits for it where a process cannot become another."""
    arguments = [find_command(), *sys.argv[1:]]
    if os.name != "nt":
        os.execv(arguments[0], arguments)
    return subprocess.run(arguments).returncode


if __name__ == "__main__":
    sys.exit(main())
