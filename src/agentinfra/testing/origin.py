"""Where something was told: the line of the test."""

from __future__ import annotations

import inspect
from pathlib import Path

__all__ = ["origin"]

_OURS = str(Path(__file__).parent)


def origin() -> str:
    """Return the file and the line outside of this package that called into it."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    if frame is None:
        return "somewhere"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
