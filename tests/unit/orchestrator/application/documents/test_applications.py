"""The document of an application: its limits are read and shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.application import outlines
from orchestrator.application.documents import applications, texts
from orchestrator.application.documents.applications import ApplicationBody
from orchestrator.application.records import Registration
from orchestrator.domain.policies import UNLIMITED, Limits
from tests.contract.storages import APP, NOW
from tests.unit.orchestrator.application.desks import LIMITS, application_body

BOTH = Limits(per_minute=600, in_progress=50)


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        (UNLIMITED, None),
        (BOTH, {"perMinute": 600, "inProgress": 50}),
        (Limits(in_progress=50), {"perMinute": None, "inProgress": 50}),
    ],
)
def test_what_is_shown_can_be_written_back(limits: Limits, shown: object) -> None:
    application = replace(APP, limits=limits)
    document = applications.build(application)
    assert document["limits"] == shown
    members = texts.build_members(document)
    unedited = applications.READ_ONLY | applications.VOLATILE
    body = ApplicationBody.read({name: text for name, text in members.items() if name not in unedited}, LIMITS)
    again = outlines.application("kettle", body, application, registration=Registration.CLOSED, now=NOW)
    assert again is application


@pytest.mark.parametrize("members", [{}, {"limits": None}, {"limits": {}}, {"limits": {"perMinute": None}}])
def test_without_a_word_there_are_no_limits(members: dict[str, object]) -> None:
    body = application_body(**members)
    given = outlines.application("kettle", body, None, registration=Registration.CLOSED, now=NOW)
    assert given.limits == UNLIMITED


def test_other_limits_are_another_revision() -> None:
    body = application_body(appVersions=list(APP.app_versions), limits={"perMinute": 600, "inProgress": 50})
    given = outlines.application("kettle", body, APP, registration=Registration.CLOSED, now=NOW)
    assert (given.limits, given.revision) == (BOTH, APP.revision + 1)
