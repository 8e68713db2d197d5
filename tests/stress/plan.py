"""What happens in a run, as its seed says: so a run that failed can be repeated by its number."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass


class Moment(enum.Enum):
    """What the signal falls into."""

    PYTHON = "Python's own start"
    START = "the start"
    HANDSHAKES = "the first handshakes"
    LOAD = "the load"
    STOP = "the stop"
    """A second signal, which forces it."""


#: How often each comes, one after the other.
_MOMENTS = [
    Moment.PYTHON,
    *3 * [Moment.START],
    *2 * [Moment.HANDSHAKES],
    *6 * [Moment.LOAD],
    *4 * [Moment.STOP],
]
#: Seconds within which the signal is sent.
_WITHIN = {Moment.PYTHON: 0.6, Moment.START: 0.05}


@dataclass(frozen=True, slots=True)
class Plan:
    """A run. Times in seconds."""

    seed: int
    loop: str
    moment: Moment
    answered: int
    """How many events are answered before the signal."""
    delay: float
    """How long after that it is sent; or after the process, or its start-up hook, has begun."""
    second: float | None
    """How long after the first signal a second one is sent, if there is one."""

    @classmethod
    def of(cls, seed: int) -> Plan:
        """The plan of a seed; every other is on uvloop."""
        dice = random.Random(seed)
        moment = _MOMENTS[seed // 2 % len(_MOMENTS)]
        under_load = moment in (Moment.LOAD, Moment.STOP)
        return cls(
            seed,
            "uvloop" if seed % 2 else "asyncio",
            moment,
            answered=dice.randrange(1, 500) if under_load else 0,
            delay=dice.uniform(0, _WITHIN.get(moment, 0.02)),
            second=dice.uniform(0, 0.1) if moment is Moment.STOP else None,
        )

    def __str__(self) -> str:
        after = f"{self.answered} events and {self.delay * 1000:.1f} ms"
        again = "" if self.second is None else f", again {self.second * 1000:.1f} ms later"
        return f"seed {self.seed} ({self.loop}, in {self.moment.value}: after {after}{again})"
