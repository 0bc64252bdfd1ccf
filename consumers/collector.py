"""Python's garbage collector, tuned for a process that makes many small objects which live for some milliseconds.

Each message makes a dozen containers, so by default the collector walks the youngest of them every sixty messages and finds nothing,
and now and then walks everything that was ever imported. Promises: cycles are still found, later; what was there at the start is
never walked again.
"""

from __future__ import annotations

import gc

__all__ = ["collect_rarely"]

#: Containers made between two looks at the youngest: of some hundred messages in flight none is walked twice.
_YOUNGEST = 50_000


def collect_rarely() -> None:
    """Call it once, when the process is set up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST, 20, 50)
