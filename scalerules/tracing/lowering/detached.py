"""What no gradient goes through: what is detached further on, and what is only compared."""

from __future__ import annotations

from scalerules.tracing.record import Call, Record, references

from .state import operation


def detached(record: Record, call: Call) -> bool:
    """Whether what a call returns is detached somewhere behind it."""
    found = {call.name}
    for each in record.calls:
        if not found.isdisjoint(ref.name for ref in references((*each.args, *each.kwargs.values()))):
            if each.target.startswith("aten.detach"):
                return True
            found.add(each.name)
    return False


COMPARING = ("gt", "lt", "ge", "le", "eq", "ne")
PASSING = ("select", "slice", "unsqueeze", "squeeze", "expand", "view", "getitem", "detach", "alias", "clone")


def unread(record: Record, call: Call) -> bool:
    """Whether nothing reads the values that a call returns first."""
    read = [ref for each in record.calls for ref in references((*each.args, *each.kwargs.values()))]
    return not any(ref.name == call.name and not ref.index for ref in (*read, *(out.ref for out in record.outputs)))


def only_compared(record: Record, call: Call) -> bool:
    """Whether the values that a call returns first are only held against others that grow in number, as a threshold."""
    found, compared = {call.name}, False
    if any(output.ref.name == call.name and not output.ref.index for output in record.outputs):
        return False
    for each in record.calls:
        read = [ref for ref in references((*each.args, *each.kwargs.values())) if ref.name in found]
        if not read or all(ref.name == call.name and ref.index for ref in read):
            continue
        name = operation(each.target)
        if name in PASSING and not any(output.ref.name == each.name for output in record.outputs):
            found.add(each.name)
        elif name in COMPARING:
            compared |= any(length is None or bool(length.scales) for length in each.shape)
        else:
            return False
    return compared
