"""Lines of the user's program: those that stand neither in torch nor in this package."""

from __future__ import annotations

import re
from pathlib import Path

import torch

LIBRARIES = (f"{Path(torch.__file__).parent}/", f"{Path(__file__).parents[2]}/")
"""The folders of torch and of this package; another folder may be called as they are."""


def is_users(file: str) -> bool:
    """Whether a file is the user's, or a library's that the user calls."""
    return not Path(file).as_posix().startswith(LIBRARIES)


def short_path(file: str) -> str:
    """A file from the folder of its package on."""
    return re.sub(r".*/(site-packages|python3\.\d+)/", "", file)
