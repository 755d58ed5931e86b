"""JSON merge patches on texts: what the patch does not name keeps its exact text.

Rules:
- An object merges into an object, member by member; null removes; everything else replaces.

Spec: RFC 7396 §2.
Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.documents import texts
from orchestrator.application.documents.texts import Raw
from protocol import payloads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.payloads import Limits


def merge(present: Mapping[str, str], patch: Mapping[str, str], limits: Limits) -> dict[str, str]:
    """The members of an object after a patch, each as a JSON text.

    `present` and `patch` are members as `payloads.members` gives them.
    """
    merged = dict(present)
    for name, text in patch.items():
        if text == "null":
            merged.pop(name, None)
        else:
            merged[name] = _merge_text(merged.get(name, "null"), text, limits)
    return merged


def _merge_text(present: str, patch: str, limits: Limits) -> str:
    if not patch.startswith("{"):
        return patch
    target = payloads.members(present, limits) if present.startswith("{") else {}
    merged = merge(target, payloads.members(patch, limits), limits)
    return (
        present
        if present.startswith("{") and merged == target
        else texts.build({name: Raw(text) for name, text in merged.items()})
    )
