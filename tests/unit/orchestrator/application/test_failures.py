from __future__ import annotations

import pytest

from orchestrator.application import failures
from orchestrator.application.ports import StorageError
from orchestrator.application.problems import NotFoundError, TokenTakenError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.domain.versions import Version
from protocol.errors import (
    AttributesTooLargeError,
    MemberTypeError,
    NotJsonError,
    PayloadTooLargeError,
    ResponseTopicError,
)


@pytest.mark.parametrize(
    ("error", "status_code", "code"),
    [
        (NotFoundError("software", "1.0.0"), 404, "software-not-found"),
        (TokenTakenError("e1"), 409, "token-taken"),
        (NotJsonError("x"), 400, "payload-not-json"),
        (MemberTypeError("a", "a string"), 422, "member-type"),
        (PayloadTooLargeError(2, 1), 413, "payload-too-large"),
        (AttributesTooLargeError(1025, 1024, "keys"), 413, "attributes-too-large"),
        (ResponseTopicError(), 400, "response-topic-refused"),
        (AppVersionTakenError("kettle-v1"), 409, "app-version-taken"),
        (StorageError("disk full", transient=True), 503, "storage-error"),
    ],
)
def test_each_kind_of_error_has_its_status_and_code(error: Exception, status_code: int, code: str) -> None:
    failure = failures.of(error)
    assert failure is not None
    assert (failure.status_code, failure.code) == (status_code, code)


def test_errors_of_the_domain_are_about_what_was_said() -> None:
    with pytest.raises(Exception, match="x") as caught:
        Version.parse("x")
    failure = failures.of(caught.value)
    assert failure is not None
    assert (failure.status_code, failure.code) == (422, "invalid-version")


def test_an_error_of_the_database_says_nothing_of_the_inside() -> None:
    failure = failures.of(StorageError("/var/lib/otao is full", transient=True))
    assert failure is not None
    assert "/var" not in failure.reason


def test_what_nobody_foresaw_is_none() -> None:
    assert failures.of(ZeroDivisionError()) is None
    assert failures.UNFORESEEN.status_code == 500
