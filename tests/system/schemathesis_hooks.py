"""What Schemathesis is told of the service that it tests: how JSON lines are written, and what there is.

Loaded by its own process (SCHEMATHESIS_HOOKS). Values that are meant to be wrong stay as they were made.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import schemathesis
from schemathesis import GenerationMode

if TYPE_CHECKING:
    from schemathesis import Case, HookContext

THERE = {"app": "kettle", "version": "1.1.0", "filter_id": "canary", "endpoint_id": "kettle-7"}
"""What the test has defined, by the name of the path parameter."""
WRITES = {"PUT", "PATCH", "DELETE"}


@schemathesis.serializer("application/x-ndjson")
def json_lines(_context: object, value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """One line for each item of a list, else one line."""
    items = value if isinstance(value, list) else [value]
    return "".join(json.dumps(item) + "\n" for item in items).encode()


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Let three in four well-formed requests find what they name, and half of the writes pass their precondition."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    # By the request's own content: the same in every run.
    chance = sum(str((case.path_parameters, case.query, case.body)).encode())
    if chance % 4:
        for name in case.path_parameters.keys() & THERE.keys():
            case.path_parameters[name] = THERE[name]
    if case.method.upper() in WRITES and chance % 2:
        case.headers["If-Match"] = "*"
