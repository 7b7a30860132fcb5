"""What the process itself takes: the figures every Prometheus client has, by its names."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from agentinfra.observability.metrics.cells import Key
from agentinfra.observability.metrics.page import Sample

__all__ = ["process_samples"]

_PROC: Final = Path("/proc/self")
_TICKS: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def process_samples() -> list[Sample]:
    """Return the process's figures; those the platform does not tell are left out."""
    cpu = time.process_time()
    samples = [_one("counter", "process_cpu_seconds_total", "Seconds of CPU used.", cpu)]
    try:
        fields = (_PROC / "stat").read_text().rpartition(")")[2].split()
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        samples += [
            _one("gauge", "process_virtual_memory_bytes", "Virtual memory.", int(fields[20])),
            _one("gauge", "process_resident_memory_bytes", "Memory held.", int(fields[21]) * _PAGE),
            _one(
                "gauge",
                "process_start_time_seconds",
                "When the process began, in seconds since the epoch.",
                booted + int(fields[19]) / _TICKS,
                across="min",
            ),
            _one(
                "gauge",
                "process_open_fds",
                "Files that are open.",
                len(list((_PROC / "fd").iterdir())),
            ),
        ]
    except (OSError, ValueError, IndexError, AttributeError):
        pass  # no /proc, as on macOS and Windows
    return samples


def _one(kind: str, name: str, text: str, value: float, *, across: str = "sum") -> Sample:
    return Sample(Key(name=name, kind=kind, help=text, labels="", across=across), [value])
