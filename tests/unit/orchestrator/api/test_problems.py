"""Errors as problem documents: which status each gets, and what it tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fastapi.exceptions import RequestValidationError

from orchestrator.api import problems
from orchestrator.api.cursors import CursorError
from orchestrator.application.ports import StorageError
from orchestrator.application.problems import (
    FilterInUseError,
    FilterUnknownError,
    MemberError,
    NotFoundError,
    PreconditionFailedError,
    PreconditionRequiredError,
)
from orchestrator.application.records import AppVersionTakenError
from orchestrator.domain.catalogues import VersionConflict
from orchestrator.domain.filters import FilterSyntaxError
from orchestrator.domain.versions import InvalidVersion, Version
from protocol.errors import DuplicateMemberError, MemberTypeError, NotJsonError, PayloadTooLargeError, TextError

if TYPE_CHECKING:
    from fastapi import Response


def content_of(response: Response) -> dict[str, object]:
    content = json.loads(bytes(response.body))
    assert isinstance(content, dict)
    return content


def test_a_problem_has_the_members_of_rfc_9457_a_code_and_kaas_message() -> None:
    response = problems.problem(409, "token-taken", "the endpoint e1 has this token")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert content_of(response) == {
        "type": "urn:otao:problem:token-taken",
        "title": "Conflict",
        "status": 409,
        "detail": "the endpoint e1 has this token",
        "code": "token-taken",
        "message": "the endpoint e1 has this token",
    }


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFoundError("software", "1.0.0"), 404, "software-not-found"),
        (CursorError(), 400, "cursor-invalid"),
        (problems.ParameterError("limit", "is given twice"), 400, "parameter-invalid"),
        (RequestValidationError([{"loc": ("query", "limit"), "msg": "no"}]), 400, "parameter-invalid"),
        (NotJsonError("the payload is empty"), 400, "payload-not-json"),
        (DuplicateMemberError("a"), 400, "member-duplicate"),
        (problems.CrossSiteError(), 403, "cross-site"),
        (AppVersionTakenError("v1"), 409, "app-version-taken"),
        (FilterInUseError("canary", [Version.parse("1.0.0")]), 409, "filter-in-use"),
        (VersionConflict(Version.parse("1.0.0+a"), Version.parse("1.0.0+b")), 409, "version-conflict"),
        (PreconditionFailedError("it has changed"), 412, "precondition-failed"),
        (PayloadTooLargeError(2, 1), 413, "payload-too-large"),
        (problems.MediaTypeError("text/plain", "application/json"), 415, "media-type-unsupported"),
        (problems.HostError(), 421, "host-unknown"),
        (MemberError("no", "member-type"), 422, "member-type"),
        (MemberTypeError("the document", "an object"), 422, "member-type"),
        (TextError(), 422, "text-not-storable"),
        (FilterUnknownError("canary"), 422, "filter-unknown"),
        (FilterSyntaxError(3, "expected '=='"), 422, "filter-syntax"),
        (InvalidVersion("1"), 422, "invalid-version"),
        (PreconditionRequiredError(), 428, "precondition-required"),
        (StorageError("disk full", transient=True), 503, "storage-error"),
        (ZeroDivisionError("secret"), 500, "internal-error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_each_error_has_its_status_and_code(error: Exception, status: int, code: str) -> None:
    content = content_of(problems.of(error))
    assert (content["status"], content["code"]) == (status, code)
    assert content["detail"]


def test_an_error_of_ours_tells_nothing_of_the_inside() -> None:
    for error in (ZeroDivisionError("secret"), StorageError("secret", transient=False)):
        assert b"secret" not in bytes(problems.of(error).body)


def test_what_may_pass_says_when_to_try_again() -> None:
    assert problems.of(StorageError("locked", transient=True)).headers["retry-after"] == "1"


def test_foreign_text_is_quoted_and_cut() -> None:
    detail = content_of(problems.of(problems.MediaTypeError("\x1b[31m" + "x" * 1000, "application/json")))["detail"]
    assert isinstance(detail, str)
    assert detail.isprintable()
    assert len(detail) < 200
