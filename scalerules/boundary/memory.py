"""How much memory there is: free on this machine, and held by this process."""

from __future__ import annotations

from pathlib import Path

from scalerules.errors import ScaleRulesError

GROUP = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""What a container may take and has taken, in either version of control groups."""


def available() -> int | None:
    """Bytes that can still be allocated; None where the system does not say."""
    free = _field("/proc/meminfo", "MemAvailable")
    swap = _field("/proc/meminfo", "SwapFree") or 0
    if free is None:
        return None
    free += swap
    for most, taken in GROUP:
        limit, used = _number(most), _number(taken)
        if limit is not None and used is not None:
            free = min(free, max(0, limit - used))
    return free


def held() -> int | None:
    """Bytes that this process has reserved for its data; None where the system does not say."""
    return _field("/proc/self/status", "VmData")


def check(needed: float, what: str, hint: str | None = None) -> None:
    """Raises `ScaleRulesError` if `what` needs more bytes than there are."""
    free = available()
    if free is not None and needed > free:
        raise ScaleRulesError(f"{what} needs about {shown(needed)} of memory, and {shown(free)} are free", hint=hint)


def shown(count: float) -> str:
    """A number of bytes for a reader."""
    for unit, one in (("TB", 1e12), ("GB", 1e9)):
        if count >= one:
            return f"{count / one:,.{0 if count >= 100 * one else 1}f} {unit}"
    return f"{count / 1e6:.0f} MB"


def _field(file: str, name: str) -> int | None:
    """A field of one of the system's tables, in bytes."""
    try:
        for line in Path(file).read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


def _number(file: str) -> int | None:
    try:
        return int(Path(file).read_text())
    except (OSError, ValueError):
        return None
