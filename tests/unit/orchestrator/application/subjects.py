"""Short ways to write endpoints as filters look at them, and as they are published to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.memberships import Subject
from orchestrator.application.pushes import Push
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import TokenState
from tests.unit.orchestrator.domain.builders import DAY, NOW, v

if TYPE_CHECKING:
    from datetime import datetime


def subject(
    attributes: str = "{}",
    *,
    endpoint_id: str = "kettle-7",
    app_version: str = "kettle-v1",
    running: str | None = None,
    last_seen_at: datetime | None = None,
) -> Subject:
    return Subject(
        attributes=attributes,
        endpoint_id=endpoint_id,
        app_version=app_version,
        running=None if running is None else v(running),
        registered_at=NOW - DAY,
        last_seen_at=last_seen_at,
    )


PUSH = Push(
    revision=5,
    key=77,
    topic=None,
    application=1,
    app_version="kettle-v1",
    token="tok",
    latest=5,
    version=v("1.1.0"),
    state=AttemptState.OFFERED,
    observe=True,
    token_state=TokenState.ACTIVE,
)
"""The newest push of an endpoint, which offers it 1.1.0."""
