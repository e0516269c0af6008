"""How the command's process ends: with its own exit code, whatever threads of libraries do.

The object store's library has threads that call into Python. One that does so
while the interpreter is taken apart ends the process with SIGABRT or SIGBUS,
and the exit code of the command is lost. So the interpreter is not taken
apart: what was to be done at exit is done, and the process ends.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process at once, when all that it said is said."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
