"""The CPU time of a process that is not ours, to the nanosecond, and its memory.

`/proc/PID/stat`, which psutil reads, counts in ticks of 10 ms: a tenth of one turn of a server.
POSIX has a clock for each process (clock_getcpuclockid), user and system time of all its threads as
the scheduler counted them, and reading it is one system call.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["process_clock", "resident"]


def process_clock(pid: int) -> Callable[[], int]:
    """A function that gives the CPU time of process `pid` so far, in nanoseconds.

    Raises OSError if there is no such process, or if the system has no such clocks (as macOS).
    """
    clock_getcpuclockid = getattr(ctypes.CDLL(None), "clock_getcpuclockid", None)
    if clock_getcpuclockid is None:
        raise OSError("expected a system with clock_getcpuclockid, such as Linux")
    clock_id = ctypes.c_int()
    if error := clock_getcpuclockid(pid, ctypes.byref(clock_id)):
        raise OSError(error, os.strerror(error))
    number = clock_id.value
    return lambda: time.clock_gettime_ns(number)


def resident(pid: int) -> int:
    """The bytes of memory that a process has resident (proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
