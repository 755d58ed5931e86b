from __future__ import annotations

from orchestrator.persistence import schema
from orchestrator.persistence.departures import sign_out


def test_each_session_is_kept_once() -> None:
    assert [column.name for column in sign_out.primary_key] == ["session"]
    assert schema.metadata.tables["sign_out"] is sign_out
