"""The CPU time of a process that is not ours, to the nanosecond.

`/proc/PID/stat`, which psutil reads, counts in ticks of 10 ms: a tenth of one turn of a server.
POSIX has a clock for each process (clock_getcpuclockid), user and system time of all its threads as
the scheduler counted them, and reading it is one system call.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable

__all__ = ["process_clock"]


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
