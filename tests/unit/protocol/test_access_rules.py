"""Access rules: what each party may do by them, as Mosquitto reads them, and the file that is shipped."""

from __future__ import annotations

import pytest

from broker_bridge.topic_filters import matcher
from protocol import access_rules, topics
from protocol.access_rules import Access
from protocol.errors import SettingError
from protocol.topics import Address, Instances, Kind, Resource
from tests.brokers import ROOT

PLAIN = Instances()
OTHER = Instances(software="sw", configuration="conf", metadata="meta")
PUSH = "kp1/kettle-v1/cmx_ota/tok7/config/json/status"
RETAINED = (PUSH, PUSH.replace("config", "consent"), PUSH.replace("cmx_ota", "cmx"))
"""Where something may be retained for an endpoint: offers, questions, configurations."""


def written(text: str, user: str) -> tuple[list[list[str]], list[list[str]]]:
    """A user's own lines of a file, and the patterns as they are for it: each access and topic filter."""
    own: list[list[str]] = []
    patterns: list[list[str]] = []
    present = None
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "user":
            present = rest
        elif word == "pattern":
            patterns.append(rest.replace("%u", user).split(" ", 1))
        elif word == "topic" and present == user:
            own.append(rest.split(" ", 1))
    return own, patterns


def may(text: str, user: str, access: Access, topic: str) -> bool:
    """What Mosquitto 2.0 makes of a file: the user's own lines, then all patterns; of each, denials first."""
    for rules in written(text, user):
        found = [kind for kind, topic_filter in rules if matcher([topic_filter])(topic)]
        if "deny" in found:
            return False
        if access.value in found or "readwrite" in found:
            return True
    return False


def text_of(instances: Instances = PLAIN, tokens: list[str] | None = None) -> str:
    return access_rules.acl_file(access_rules.build(instances, tokens=tokens))


def test_the_shipped_file_is_what_is_printed_for_settings_that_nobody_has_changed() -> None:
    assert (ROOT / "deploy" / "mosquitto.acl").read_text() == text_of()


@pytest.mark.parametrize("instances", [PLAIN, OTHER])
@pytest.mark.parametrize("tokens", [None, ["tok7", "tok8"]])
def test_invariant_11_an_endpoint_writes_every_request_of_its_own_and_no_other(
    instances: Instances, tokens: list[str] | None
) -> None:
    text = text_of(instances, tokens)
    software = {Resource.CONFIG, Resource.APPLIED, Resource.PROGRESS, Resource.HEALTH, Resource.CONSENT}
    for resource in Resource:
        kind, name = Kind.METADATA, instances.metadata
        if resource in software:
            kind, name = Kind.SOFTWARE, instances.software
        for request_id in (None, "0"):
            address = Address(
                app_version="v", kind=kind, instance=name, token="tok7", resource=resource, request_id=request_id
            )
            topic = topics.build(address)
            assert may(text, "tok7", Access.WRITE, topic)
            assert not may(text, "tok8", Access.WRITE, topic)
            assert may(text, "otao", Access.READ, topic)
            assert not may(text, "operators", Access.WRITE, topic)


@pytest.mark.parametrize("tokens", [None, ["tok7"]])
def test_an_endpoint_reads_its_offer_and_no_other_does(tokens: list[str] | None) -> None:
    text = text_of(tokens=tokens)
    for topic in (*RETAINED, PUSH.replace("config", "applied")):
        assert may(text, "tok7", Access.READ, topic)
        assert not may(text, "tok8", Access.READ, topic)
        assert may(text, "otao", Access.WRITE, topic)


def test_where_endpoints_are_named_none_forges_its_own_offer() -> None:
    for topic in RETAINED:
        assert may(text_of(), "tok7", Access.WRITE, topic)
        assert not may(text_of(tokens=["tok7"]), "tok7", Access.WRITE, topic)
    assert not access_rules.build(PLAIN).denies_forgery
    assert access_rules.build(PLAIN, tokens=[]).denies_forgery


def test_endpoints_of_two_applications_with_one_token_are_one_user() -> None:
    assert text_of(tokens=["tok7", "tok8", "tok7"]) == text_of(tokens=["tok7", "tok8"])


def test_operators_command_and_watch_and_endpoints_do_neither() -> None:
    text = access_rules.acl_file(access_rules.build(PLAIN, service="svc", operators=["ann", "bob"]))
    command, event = "otao/v1/kettle/control/plan/1", "otao/v1/kettle/events/endpoint.failed"
    for user in ("ann", "bob"):
        assert may(text, user, Access.WRITE, command)
        assert may(text, user, Access.READ, event)
        assert not may(text, user, Access.WRITE, event)
        # No filter tells an answer from a command with a request ID, and the file says so.
        assert may(text, user, Access.WRITE, f"{command}/status")
    for access in (Access.READ, Access.WRITE):
        assert may(text, "svc", access, command)
        assert not may(text, "tok7", access, command)
        assert not may(text, "otao", access, command)
    assert "an operator can forge these" in text
    assert '"svc", "ann" and "bob" must therefore not be given as tokens.' in text


def test_the_service_writes_where_it_speaks() -> None:
    spoken = [
        topics.marker_topic("main"),
        topics.sentinel_topic("3"),
        topics.probe_topic("main"),
        "otao/v1/service/a",
        "otao/v1/kettle/summary",
        "otao/v1/kettle/events/endpoint.failed",
        "otao/v1/kettle/replies/bob",
        "otao/v1/kettle/control/plan/1/status",
    ]
    assert [topic for topic in spoken if not may(text_of(), "otao", Access.WRITE, topic)] == []
    assert not may(text_of(), "otao", Access.WRITE, "home/lights")


@pytest.mark.parametrize(
    "given",
    [
        {"service": "operators"},
        {"operators": ["ann", "ann"]},
        {"service": " otao"},
        {"service": ""},
        {"operators": ["two\nlines"]},
        {"tokens": ["otao"]},
        {"tokens": ["operators"]},
        {"tokens": ["a/b"]},
        {"tokens": ["+"]},
        {"tokens": ["tok7 "]},
        {"tokens": ["tok\u20287"]},
        {"tokens": ["\ufefftok7"]},
        {"instances": Instances(software="%u")},
    ],
)
def test_names_that_would_mean_something_else_in_the_file_are_refused(given: dict[str, object]) -> None:
    arguments: dict[str, object] = {"instances": PLAIN, **given}
    with pytest.raises(SettingError):
        access_rules.build(**arguments)  # type: ignore[arg-type]  # each case is one wrong argument
