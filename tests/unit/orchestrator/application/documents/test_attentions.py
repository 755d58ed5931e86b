from __future__ import annotations

from dataclasses import replace

from orchestrator.application.documents import attentions as documents
from orchestrator.application.records import AttentionPlace, StoredTrouble
from orchestrator.domain import attentions
from tests.unit.orchestrator.domain.test_attentions import TROUBLE


def test_the_document_names_the_endpoint_the_trouble_and_the_way_out() -> None:
    stored = StoredTrouble(place=AttentionPlace(severity=50, place=4, key=7), token="tok7", trouble=TROUBLE)
    assert documents.build(stored) == {
        "endpointId": "kettle-7",
        "token": "tok7",
        "runningVersion": "1.0.0",
        "severity": 50,
        "problem": "failed",
        "reason": attentions.reason(TROUBLE),
        "advice": attentions.advice(TROUBLE),
        "since": "2026-03-01T12:00:00Z",
    }


def test_an_unknown_version_is_null() -> None:
    stored = StoredTrouble(
        place=AttentionPlace(severity=50, place=4, key=7), token="tok7", trouble=replace(TROUBLE, running=None)
    )
    assert documents.build(stored)["runningVersion"] is None
