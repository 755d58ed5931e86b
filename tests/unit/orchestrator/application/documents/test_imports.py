from __future__ import annotations

import pytest

from orchestrator.application.documents import imports as documents
from orchestrator.application.imports import Imported
from orchestrator.application.problems import MemberError
from orchestrator.domain.versions import Version
from protocol.errors import PayloadTooLargeError


def test_a_line_is_an_endpoint_with_its_name() -> None:
    line = documents.read(b'{"endpointId":"e.1","token":"t","attributes":{"a":1.10},"runningVersion":"1.0.0+b"}')
    assert (line.endpoint_id, line.token, line.attributes) == ("e.1", "t", '{"a":1.10}')
    assert line.asserted == Version.parse("1.0.0")
    assert documents.read(b'{"endpointId":"e1","runningVersion":null}').asserted is None


def test_what_only_reports_change_is_passed_over() -> None:
    line = b'{"endpointId":"e1","lastSeenAt":"never","offer":{},"tokenState":7,"runningAsserted":true,"observe":false}'
    assert documents.read(line) == documents.read(b'{"endpointId":"e1"}')


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"{}", "member-missing"),
        (b'{"endpointId":7}', "member-type"),
        (b'{"endpointId":"a/b"}', "member-invalid"),
        (b'{"endpointId":"e1","offers":{}}', "member-unknown"),
        (b'{"endpointId":"e1","runningVersion":"one"}', "invalid-version"),
    ],
)
def test_what_makes_no_sense_is_refused(line: bytes, code: str) -> None:
    with pytest.raises(MemberError) as caught:
        documents.read(line)
    assert caught.value.code == code


def test_a_line_has_64_kib() -> None:
    with pytest.raises(PayloadTooLargeError):
        documents.read(b'{"endpointId":"e1"}' + b" " * 65536)


def test_the_answer_counts_all_and_tells_the_first_errors() -> None:
    told = Imported(created=1, updated=2, unchanged=3)
    for line in range(1, 151):
        told.fail(line, "member-type", "wrong")
    document = documents.build(told)
    assert {name: document[name] for name in ("created", "updated", "unchanged", "failed")} == {
        "created": 1,
        "updated": 2,
        "unchanged": 3,
        "failed": 150,
    }
    assert document["errors"] == [{"line": line, "code": "member-type", "detail": "wrong"} for line in range(1, 101)]
