"""The lines of a bulk import, and what is answered.

Rules:
- A line is an endpoint's resource with its `endpointId`; members that only reports change are passed over, so that what
  was listed by one installation can be imported by another.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from orchestrator.application.documents import endpoints
from orchestrator.application.documents.bodies import VersionText, read_text
from orchestrator.application.documents.endpoints import EndpointBody
from orchestrator.domain.versions import Version
from protocol import payloads, topics
from protocol.payloads import Limits

if TYPE_CHECKING:
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.imports import Imported

LINE = Limits(payload_bytes=64 * 1024, depth=64)
"""Of one line."""
_PASSED_OVER = endpoints.READ_ONLY - {"endpointId", "runningVersion"}


def _endpoint_id(text: str) -> str:
    if not topics.ENDPOINT_ID.fullmatch(text):
        raise ValueError("must have 1 to 64 letters, digits, '.', '_', '~' and '-'")
    return text


class ImportBody(EndpointBody):
    """One line."""

    endpoint_id: Annotated[str, read_text(_endpoint_id)]
    running_version: VersionText | None = None
    """Asserted: it counts until the endpoint's first report, and only if there was none."""

    @property
    def asserted(self) -> Version | None:
        """What the endpoint is said to run."""
        return None if self.running_version is None else Version.parse(self.running_version)


def read(line: bytes) -> ImportBody:
    """Read a line.

    Raises:
        PayloadError: it is too large, no JSON, or no object.
        MemberError: a member is unknown, missing, of another type, or out of bounds.
    """
    members = payloads.members(line, LINE)
    return ImportBody.read({name: text for name, text in members.items() if name not in _PASSED_OVER}, LINE)


def build(imported: Imported) -> Document:
    """What has become of the lines."""
    return {
        "created": imported.created,
        "updated": imported.updated,
        "unchanged": imported.unchanged,
        "failed": imported.failed,
        "errors": [{"line": error.line, "code": error.code, "detail": error.detail} for error in imported.errors],
    }
