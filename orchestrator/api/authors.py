"""Who makes a request, as far as the audit goes.

Rules:
- The name is that of the API key, which `guards` has put into the request's state; without keys nobody has one.
- `Otao-Reason` says why; it is UTF-8, or what HTTP's own Latin-1 makes of it.

Layer: api.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from orchestrator.api.problems import ParameterError
from orchestrator.application.authors import ANONYMOUS, Author, Via
from orchestrator.application.documents.bodies import REASON_CHARACTERS

HEADER = "Otao-Reason"

_Reason = Annotated[str | None, Header(alias=HEADER, description="Why, for the audit.", max_length=None)]


async def of(request: Request, given: _Reason = None) -> Author:
    """The author of a change that a request makes.

    Raises:
        ParameterError: the reason is too long.
    """
    name: str | None = getattr(request.state, "key_name", None)
    reason = None if given is None else _text(given)
    if reason is not None and len(reason) > REASON_CHARACTERS:
        raise ParameterError(HEADER, f"has more than {REASON_CHARACTERS} characters")
    return Author(name=name or ANONYMOUS.name, via=Via.REST, reason=reason or None)


def _text(header: str) -> str:
    try:
        return header.encode("latin-1").decode().strip()
    except UnicodeError:
        return header.strip()


By = Annotated[Author, Depends(of)]
"""For the signatures of routes that change something."""
