from __future__ import annotations

from orchestrator.application.diagnoses import Check, Status
from orchestrator.application.documents import diagnoses as documents


def test_checks_keep_their_order_and_advice_may_be_none() -> None:
    checks = [
        Check(check="clock", status=Status.OK, detail="no jump"),
        Check(check="keys", status=Status.WARNING, detail="open", advice="close it"),
    ]
    assert documents.build(checks) == {
        "checks": [
            {"check": "clock", "status": "ok", "detail": "no jump", "advice": None},
            {"check": "keys", "status": "warning", "detail": "open", "advice": "close it"},
        ]
    }
