"""The document of an application.

Layer: application; pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from orchestrator.application.documents import freezes, instants, rollouts
from orchestrator.application.documents.bodies import DESCRIPTION_CHARACTERS, LISTED, Body, Distinct, read_text
from orchestrator.application.problems import MemberError
from orchestrator.application.records import REQUIRED, PushMode, Registration
from protocol import topics
from protocol.configurations import Profile
from protocol.errors import quoted

if TYPE_CHECKING:
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.records import Application
    from orchestrator.domain.policies import Limits

VOLATILE = frozenset({"frozen"})
"""Members that change while nobody edits the application."""
READ_ONLY = frozenset({"name", "createdAt"})

ATTRIBUTE_KEY = re.compile(r"[a-zA-Z0-9_]{1,64}")
"""10/EPMP's keys; to be used with `fullmatch`."""


def _app_version(text: str) -> str:
    if not topics.APP_VERSION.fullmatch(text):
        raise ValueError("must be one topic level of at most 64 characters")
    return text


def _attribute_key(text: str) -> str:
    if not ATTRIBUTE_KEY.fullmatch(text):
        raise ValueError("must consist of at most 64 letters, digits and underscores")
    return text


def _consent(text: str) -> str:
    if text not in {"none", REQUIRED}:
        raise ValueError(f"must be 'none' or '{REQUIRED}'")
    return text


def check_name(name: str) -> None:
    """Pass when an application may have this name.

    Raises:
        MemberError: it may not.
    """
    if not topics.APPLICATION.fullmatch(name):
        reason = f"{quoted(name)} is no name of an application: 1 to 64 of a-z, 0-9, _ and -"
        raise MemberError(reason, "application-name-invalid")


class ApplicationBody(Body):
    """What operators say of an application."""

    app_versions: Annotated[
        list[Annotated[str, read_text(_app_version)]], Field(min_length=1, max_length=LISTED), Distinct
    ]
    """No other application has them."""
    registration: Annotated[Registration | None, Field(strict=False)] = None
    """None: as the service is set up."""
    profile: Annotated[Profile, Field(strict=False)] = Profile.KAA
    push: Annotated[PushMode, Field(strict=False)] = PushMode.RETAINED
    consent: Annotated[str, read_text(_consent)] = "none"
    operator_keys: Annotated[list[Annotated[str, read_text(_attribute_key)]], Field(max_length=LISTED), Distinct] = (
        Field(default_factory=list)
    )
    """Attributes that endpoints may read and not write."""
    limits: rollouts.SharedLimitsBody | None = None
    """How fast offers are made, over all its software together; null: no limit but those of rollouts."""
    description: Annotated[str | None, Field(max_length=DESCRIPTION_CHARACTERS)] = None


def build(application: Application) -> Document:
    """The document of an application."""
    return {
        "name": application.name,
        "appVersions": application.app_versions,
        "registration": application.registration.value,
        "profile": application.profile.value,
        "push": application.push.value,
        "consent": application.consent,
        "operatorKeys": application.operator_keys,
        "limits": _limits(application.limits),
        "description": application.description,
        "createdAt": instants.build(application.created_at),
        "frozen": freezes.build_optional(application.frozen),
    }


def _limits(limits: Limits) -> Document | None:
    if limits.per_minute is None and limits.in_progress is None:
        return None
    return {"perMinute": limits.per_minute, "inProgress": limits.in_progress}
