"""What no gradient goes through: the program says where values are detached, the calculus has no such operation."""

from __future__ import annotations

from scalerules.tracing.record import Call, Record, references


def detached(record: Record, call: Call) -> bool:
    """Whether what a call returns is detached somewhere behind it."""
    found = {call.name}
    for each in record.calls:
        if not found.isdisjoint(ref.name for ref in references((*each.args, *each.kwargs.values()))):
            if each.target.startswith("aten.detach"):
                return True
            found.add(each.name)
    return False
