"""Lines of the user's program: those that stand neither in torch, nor in this package, nor in Python's own library."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

import sympy  # pyright: ignore[reportMissingTypeStubs]
import torch

LIBRARIES = (*(f"{Path(str(each.__file__)).parent}/" for each in (torch, sympy)), f"{Path(__file__).parents[2]}/")
"""The folders of torch, of what it reckons sizes with, and of this package; others may be called as they are."""


WRITTEN = "<eval_with_key>"
"""How the code is called that torch writes for a graph."""


STANDARD = f"{Path(sysconfig.get_path('stdlib')).as_posix()}/"
"""The folder of Python's own library, in which installed packages have a folder, too."""


def is_users(file: str) -> bool:
    """Whether a file is the user's, or a library's that the user calls."""
    path = Path(file).as_posix()
    own = path.startswith(STANDARD) and not path.startswith(f"{STANDARD}site-packages/")
    return not (own or path.startswith((*LIBRARIES, WRITTEN)))


def short_path(file: str) -> str:
    """A file from the folder of its package on."""
    return re.sub(r".*/(site-packages|python3\.\d+)/", "", file)
