"""A run as it is kept: JSON with the machine, every version, every sample and every verdict.

What is a Measurement is in nanoseconds; `cpu` of an event is in microseconds, of an import or a
start in milliseconds, as is `first_event`; memory is in bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .idle import IdleSample
from .measure import Sample
from .process import Subject
from .result import Run
from .servers import SERVERS
from .summary import summarise
from .targets import judge

__all__ = ["as_json", "write_json"]


def as_json(run: Run) -> dict[str, Any]:
    """All of it as values for JSON: what was measured, and what was made of it."""
    return {
        "began": run.began.isoformat(timespec="seconds"),
        "command": run.command,
        "python": run.python,
        "machine": run.machine,
        "versions": run.versions,
        "environments": {name: entry.environment for name, entry in SERVERS.items()},
        "missing": run.missing,
        "failures": run.failures,
        "settings": asdict(run.settings),
        "summary": [asdict(row) | _subject(row.subject) for row in summarise(run.samples)],
        "samples": [_sample(each) for each in run.samples],
        "sizes": [_sample(each) for each in run.sizes],
        "connections": [_sample(each) for each in run.connections],
        "processes": [
            asdict(each)
            | _subject(each.subject)
            | {"cpu": each.cpu, "rate": each.rate, "generator_busy": each.generator_busy}
            for each in run.processes
        ],
        "idle": [_idle(each) for each in run.idle],
        "imports": [
            asdict(each) | {"cpu": each.cpu / 1e6, "wall": each.wall / 1e6} for each in run.imports
        ],
        "startup": [
            asdict(each)
            | _subject(each.subject)
            | {"first_event": each.first_event / 1e6, "cpu": each.cpu / 1e6}
            for each in run.starts
        ],
        "wrk": [asdict(each) | _subject(each.subject) for each in run.wrk],
        "latency": [each.as_json() for each in run.latency],
        "made_of": [asdict(each) for each in run.made_of],
        "steps": [asdict(each) | {"rest": each.rest} for each in run.steps],
        "targets": [asdict(each) for each in judge(run)],
    }


def _subject(subject: Subject) -> dict[str, Any]:
    """A server without the paths of the machine."""
    return {"subject": {"name": subject.name, "loop": subject.loop}}


def _sample(sample: Sample) -> dict[str, Any]:
    figures = ("cpu", "rate", "busy", "generator_cpu")
    return (
        asdict(sample)
        | _subject(sample.subject)
        | {figure: getattr(sample, figure) for figure in figures}
    )


def _idle(sample: IdleSample) -> dict[str, Any]:
    curve = [{"connections": count, "memory": memory} for count, memory in sample.curve]
    figures = {name: getattr(sample, name) for name in ("kib", "cpu_alone", "cpu_beside", "busy")}
    added = figures | {"curve": curve}
    return asdict(sample) | _subject(sample.subject) | added


def write_json(run: Run, folder: Path) -> Path:
    """Write everything into a new file in `folder`; gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.began:%Y%m%d-%H%M%S}-python{run.python}.json"
    path.write_text(json.dumps(as_json(run), indent=1) + "\n", encoding="utf-8")
    return path
