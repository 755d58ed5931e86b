"""The document of a filter.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from orchestrator.application.documents.bodies import DESCRIPTION_CHARACTERS, Body, read_text
from orchestrator.domain import filters

if TYPE_CHECKING:
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.records import FilterRecord

READ_ONLY = frozenset({"filterId"})
FILTER_ID = r"^[a-zA-Z0-9_-]{1,64}$"
FILTER_ID_MEANS = "must be the ID of a filter: 1 to 64 letters, digits, _ and -"


def _expression(text: str) -> str:
    filters.parse(text)
    return text


class FilterBody(Body):
    """What operators say of a filter."""

    expression: Annotated[str, read_text(_expression)]
    """Over the endpoint's attributes."""
    description: Annotated[str | None, Field(max_length=DESCRIPTION_CHARACTERS)] = None


def build(record: FilterRecord) -> Document:
    """The document of a filter."""
    return {
        "filterId": record.filter.filter_id,
        "expression": record.filter.expression,
        "description": record.description,
    }
