"""Where things are: the checkout, what is read from it, and what a build writes."""

from __future__ import annotations

from pathlib import Path

SITE = Path(__file__).parent
DOCS = SITE.parent
ROOT = DOCS.parent
ASSETS = SITE / "assets"
MEASURED = SITE / "measured"
"""What `python -m docs.site.measure` wrote: verifications, as JSON."""
BUILD = ROOT / "build"
