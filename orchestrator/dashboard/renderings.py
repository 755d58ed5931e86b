"""Pages from templates, with the headers that keep them safe.

Rules:
- Every text is escaped, wherever it comes from; only drawings of our own go in as they are.
- A page loads nothing from elsewhere and runs no script but ours: `default-src 'self'`.
- What a template shows are the documents of REST, read back from their JSON: numbers cannot differ.

Spec: Content Security Policy Level 3; RFC 9110 §15.5 for the statuses.
Layer: dashboard.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.application.documents import texts
from orchestrator.application.documents.texts import Node
from orchestrator.keys import Role

# Decoded JSON, which templates index as they please.
Json: TypeAlias = Any

SAFE = {
    "Content-Security-Policy": "default-src 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On everything that a browser shows."""
_NO_STORE = {"Cache-Control": "no-store"}


def shown(node: Node) -> Json:
    """A document as REST would answer it."""
    return json.loads(texts.build(node))


def page(request: Request, template: str, *, status: int = 200, **values: object) -> Response:
    """A page made of a template and its values."""
    role: Role | None = getattr(request.state, "key_role", None)
    text = _ENVIRONMENT.get_template(template).render(
        key_name=getattr(request.state, "key_name", None),
        may_change=role is not Role.VIEWER,
        here=request.url.path,
        **values,
    )
    return HTMLResponse(text, status, {**SAFE, **_NO_STORE})


def redirect(path: str) -> Response:
    """Send the browser to a path of ours by GET."""
    return Response(status_code=303, headers={**SAFE, **_NO_STORE, "Location": path})


def path_of(*parts: str) -> str:
    """A path whose parts may hold anything."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _number(value: int) -> str:
    return f"{value:,}"


def _instant(text: str) -> str:
    """An instant for people: no fractions, UTC."""
    day, _, time = text.partition("T")
    return f"{day} {time.partition('.')[0].rstrip('Z')} UTC"


def _json(value: Json) -> str:
    """A value as JSON, to be escaped like every other text."""
    return json.dumps(value, ensure_ascii=False)


def _percent(part: int, whole: int) -> str:
    """A share with one digit, never 0 for what is there nor 100 for what is not all."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    if part < whole:
        share = min(max(share, 0.1), 99.9)
    return f"{share:.1f} %".replace(".0 %", " %")


_ENVIRONMENT = Environment(
    loader=PackageLoader("orchestrator.dashboard"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {"number": _number, "instant": _instant, "tojson_text": _json}
_ENVIRONMENT.globals |= {"percent": _percent, "path_of": path_of}
