"""How often the interpreter looks for cycles of values that nobody holds any more.

Layer: application; says something to the interpreter, and knows nothing of ours.
"""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 50)
"""Of `gc.set_threshold`: batches make and drop hundreds of thousands of values, none of them in a cycle."""


def tune() -> None:
    """Keep the collector from walking the whole program again and again, for as long as the process runs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
