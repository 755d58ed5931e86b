"""Values that every message makes several of: frozen for whoever writes code, quick to make for whoever runs it.

Rules:
- The type checker sees a frozen dataclass, and refuses an assignment to a member.
- At run time nothing refuses it: the constructor of a class that is frozen there looks each member's setter up by name,
  which takes two and a half times as long, and was a seventh of the work on a report.
- Only what is made for each message is worth it; everything else is a `dataclass` as everywhere.

Layer: protocol; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["quick"]

if TYPE_CHECKING:
    from dataclasses import dataclass as quick
else:
    from dataclasses import dataclass

    def quick(*, frozen, slots, kw_only=False):  # noqa: ANN001, ANN201 - the type checker reads `dataclass`
        """Make a dataclass that compares and hashes as a frozen one; `frozen` must be true."""
        if not frozen:
            raise ValueError(frozen)
        return dataclass(slots=slots, kw_only=kw_only, unsafe_hash=True)
