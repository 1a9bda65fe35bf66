"""What was measured of an architecture: the slopes of a kept verification with their errors."""

from __future__ import annotations

import json

from scalerules.reporting.measured import measured_as

from .page import raw
from .places import MEASURED


def measured_section(name: str) -> str:
    """The measured slopes beside the predicted sizes; where nothing was kept, the command that measures."""
    file = MEASURED / f"{name}.json"
    if not file.is_file():
        return f"Not kept here; `scalerules verify {name}` measures it."
    data = json.loads(file.read_text(encoding="utf-8"))
    return f"`{data['command']}`, {data['seconds']} seconds of one core.\n\n{raw(measured_as(data))}"
