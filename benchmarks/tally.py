"""What became of many random inputs: counts, findings, the longest, kept in a file so that a long run can go on."""

from __future__ import annotations

import json
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import scalerules as sr

LIMIT, PATIENCE = 10.0, 60.0
"""Seconds of CPU: what takes longer is a finding, and is stopped."""
Try = Callable[[random.Random], str]
"""One random input; in a word what became of it. Raises where something is wrong."""


class Stopped(BaseException):
    """An input took longer than the patience."""


@dataclass
class Tally:
    """What became of the inputs so far.

    A finding is an exception that is none of ours, a message of several lines, more than `LIMIT` seconds of CPU, or
    code that a name ran.
    """

    kind: str
    attempt: Try
    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    findings: list[str] = field(default_factory=list[str])
    longest: tuple[float, int] = (0.0, -1)
    seconds: float = 0.0

    @classmethod
    def of(cls, kind: str, attempt: Try, place: Path | None) -> Tally:
        """Empty, or as a file holds it."""
        tally = cls(kind, attempt)
        if place is not None and place.exists():
            readers = {"outcomes": Counter[str], "longest": tuple[float, int]}
            for name, value in json.loads(place.read_text()).get(kind, {}).items():
                setattr(tally, name, readers[name](value) if name in readers else value)
        return tally

    def keep(self, place: Path | None) -> None:
        """Writes the counts beside those of other kinds, whole or not at all."""
        if place is None:
            return
        known = json.loads(place.read_text()) if place.exists() else {}
        known[self.kind] = {name: value for name, value in vars(self).items() if name not in ("kind", "attempt")}
        part = place.with_suffix(".part")
        part.write_text(json.dumps(known, indent=1) + "\n")
        part.replace(place)

    def one(self, seed: int) -> None:
        """Tries the input of a seed."""
        rng, start = random.Random(f"{self.kind} {seed}"), time.process_time()
        try:
            with patient():
                self.outcomes[self.attempt(rng)] += 1
        except sr.ScaleRulesError as error:
            self.outcomes["refused"] += 1
            if len(str(error).splitlines()) != 1 and not hasattr(error, "equations"):
                self.found(seed, f"several lines: {ascii(str(error)):.300}")
        except Stopped:
            self.outcomes["stopped"] += 1
        except Exception as error:
            self.found(seed, f"{type(error).__name__}: {ascii(str(error)):.300}")
        took = time.process_time() - start
        self.longest = max(self.longest, (round(took, 2), seed))
        if took > LIMIT:
            self.found(seed, f"{took:.1f} s")
        if Path("PWNED").exists():
            self.found(seed, "code was run")
            Path("PWNED").unlink()
        self.seconds += took
        self.tried += 1

    def found(self, seed: int, what: str) -> None:
        """Keeps and prints a finding."""
        self.findings.append(f"seed {seed}: {what}")
        print(self.findings[-1], flush=True)

    def __str__(self) -> str:
        said = ", ".join(f"{count} {what}" for what, count in sorted(self.outcomes.items()))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return (
            f"{self.kind}: {self.tried} inputs: {said}; {len(self.findings)} findings; {self.seconds:.0f} s of CPU, "
            f"the longest {self.longest[0]:.2f} s (seed {self.longest[1]}); {memory:.0f} MB"
        )


@contextmanager
def patient() -> Iterator[None]:
    """Raises `Stopped` after so many seconds of CPU."""

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
