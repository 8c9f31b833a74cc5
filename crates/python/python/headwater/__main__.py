"""``python -m headwater`` is the command ``headwater``."""

import os
import sys
from typing import NoReturn

from headwater._command import find_command


def main() -> NoReturn:
    """Becomes the command."""
    arguments = [find_command(), *sys.argv[1:]]
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main()
