"""Which pages say something else than they did: a digest of what the laws give each page, kept in pages.json.

`python -m docs.site.drift` names the pages that changed, and ends with status 1; with `--write` it keeps what they say.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence

from scalerules.catalogue.graphs import catalogue
from scalerules.derivation import derive
from scalerules.derivation.gauges.gauge import GAUGES
from scalerules.ops.registry import OPS
from scalerules.optimizers.table import OPTIMIZERS
from scalerules.solution.markdown import rules

from . import architectures, gauges, operations, optimizers
from .fresh import rows
from .places import SITE

KEPT = SITE / "pages.json"


def said(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the laws give every page of operations, optimizers and gauges, and those of the architectures `names`."""
    for name, op in OPS.items():
        yield f"{operations.FOLDER}/{name}.md", repr(list(rows(op)))
    for name, law in OPTIMIZERS.items():
        yield f"{optimizers.FOLDER}/{name}.md", "\n".join((optimizers.updates(law), *optimizers.rules(law)))
    for name, gauge in GAUGES.items():
        yield f"{gauges.FOLDER}/{name}.md", "\n".join(gauges.shown(gauge))
    for name in names:
        yield f"{architectures.FOLDER}/{name}.md", "\n".join(rules(derive(name, optimizer="adam", progress=False)))


def digests(names: Sequence[str]) -> dict[str, str]:
    """What is kept of each page."""
    return {path: hashlib.sha256(text.encode()).hexdigest()[:12] for path, text in said(names)}


def drifted(names: Sequence[str], kept: Mapping[str, str] | None = None) -> list[str]:
    """The pages that the laws give something else than is kept, or that are not kept; `names`: of architectures."""
    was = kept if kept is not None else json.loads(KEPT.read_text(encoding="utf-8"))
    return [path for path, digest in digests(names).items() if was.get(path) != digest]


def main(arguments: Sequence[str]) -> int:
    """Names the pages that drifted, or keeps what they say now."""
    if "--write" in arguments:
        KEPT.write_text(json.dumps(digests(catalogue()), indent=0) + "\n", encoding="utf-8")
        return 0
    pages = drifted(catalogue())
    sys.stdout.write("".join(f"{page}: its laws give something else now\n" for page in pages))
    return 1 if pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
