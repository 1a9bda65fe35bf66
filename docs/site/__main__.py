"""`python -m docs.site`: builds the site, says what there is, or what is wrong with it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from .build import build
from .navigation import SiteError
from .places import BUILD

app = App(name="python -m docs.site", version_flags=())


@app.default
def main(*, only: Annotated[tuple[str, ...], Parameter(negative="")] = (), folder: Path = BUILD, jobs: int = 2) -> int:
    """Builds the documentation under FOLDER/site; `--only mlp` gives a page to the architectures named, repeatable."""
    began = time.monotonic()
    try:
        checked = build(folder, only, jobs)
    except SiteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{folder / 'site' / 'index.html'}: {checked}, {time.monotonic() - began:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(app())
