from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from orchestrator.application import garbage
kept = [[] for _ in range(1000)]
garbage.tune()
print(gc.get_threshold() == garbage.THRESHOLDS, gc.get_freeze_count() >= 1000, gc.isenabled())
"""


def test_what_is_there_is_not_walked_again_and_collections_are_rare() -> None:
    # In a process of its own: the thresholds hold for all of it.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "True True True\n"
