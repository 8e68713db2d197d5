"""A whole run: what was asked for, where, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .anatomy import MadeOf, StepCosts
from .idle import IdleSample
from .latency import LatencySample
from .measure import Sample, Settings
from .scaling import ProcessSample
from .starting import ImportSample, StartSample
from .wrk import WrkSample

__all__ = ["Run"]


@dataclass(slots=True)
class Run:
    """What was asked for and where; the samples are added as they come."""

    began: datetime
    command: str
    machine: dict[str, str]
    settings: Settings
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each environment its distributions."""
    missing: dict[str, str] = field(default_factory=dict)
    """The servers that could not be measured, and why."""
    failures: list[str] = field(default_factory=list)
    """What went wrong while it was measured; the samples of that step are lost."""
    samples: list[Sample] = field(default_factory=list)
    sizes: list[Sample] = field(default_factory=list)
    connections: list[Sample] = field(default_factory=list)
    processes: list[ProcessSample] = field(default_factory=list)
    idle: list[IdleSample] = field(default_factory=list)
    imports: list[ImportSample] = field(default_factory=list)
    starts: list[StartSample] = field(default_factory=list)
    wrk: list[WrkSample] = field(default_factory=list)
    latency: list[LatencySample] = field(default_factory=list)
    made_of: list[MadeOf] = field(default_factory=list)
    steps: list[StepCosts] = field(default_factory=list)

    @property
    def python(self) -> str:
        """The version of Python without its last part, such as 3.12."""
        return ".".join(self.machine["Python"].split(".")[:2])
