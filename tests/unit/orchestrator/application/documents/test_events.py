from __future__ import annotations

import json
from dataclasses import replace

import pytest

from orchestrator.application.audits import Action, AuditEntry
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import events
from orchestrator.domain.endpoints import HistoryEntry, HistoryKind
from tests.contract.storages import NOW
from tests.unit.orchestrator.domain.builders import v

FAILED = HistoryEntry(at=NOW, kind=HistoryKind.FAILED, version=v("1.1.0"), status_code=507, reason="no room left")


def test_an_event_is_a_cloud_event_of_one_line() -> None:
    text = events.encode(events.of_history(41, "kettle", "kettle-7", FAILED), "a1b2")
    assert "\n" not in text
    assert json.loads(text) == {
        "specversion": "1.0",
        "id": "a1b2-41",
        "source": "/applications/kettle",
        "type": "endpoint.failed",
        "subject": "endpoints/kettle-7",
        "time": "2026-03-01T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {"endpointId": "kettle-7", "version": "1.1.0", "statusCode": 507, "reason": "no room left"},
    }


def test_line_breaks_in_what_an_endpoint_says_stay_inside_their_string() -> None:
    entry = replace(FAILED, reason="no\nroom\r\u2028left")
    text = events.encode(events.of_history(1, "kettle", "e", entry), "a")
    assert "\n" not in text
    assert "\r" not in text
    assert json.loads(text)["data"]["reason"] == "no\nroom\r\u2028left"


def test_half_of_a_surrogate_pair_is_told_as_an_escape() -> None:
    text = events.encode(events.of_history(1, "kettle", "e", replace(FAILED, reason="x\ud800")), "a")
    assert "\\ud800" in text
    assert json.loads(text)["data"]["reason"] == "x\ud800"


def test_an_event_about_the_application_has_no_subject() -> None:
    event = events.Event(number=1, application="kettle", kind="summary", subject=None, at=NOW, data={"endpoints": 0})
    assert "subject" not in events.build(event, "a")
    assert events.build(event, "a", name="1-2")["id"] == "a-1-2"


@pytest.mark.parametrize(
    ("resource", "named"),
    [
        ("software/1.1.0", {"version": "1.1.0"}),
        ("software/1.1.0/rollout", {"version": "1.1.0"}),
        ("filters/canary", {"filterId": "canary"}),
        ("endpoints/kettle-7", {"endpointId": "kettle-7"}),
        ("freeze", {}),
    ],
)
def test_a_change_names_what_it_is_about(resource: str, named: dict[str, str]) -> None:
    entry = AuditEntry(
        at=NOW, application="kettle", author=ANONYMOUS, action=Action.SOFTWARE_PUT, resource=resource, after='{"a": 1}'
    )
    assert events.of_change(entry) == {**named, "actor": "anonymous", "via": "rest", "reason": None}
