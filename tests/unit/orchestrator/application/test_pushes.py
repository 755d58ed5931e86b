from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import pushes
from orchestrator.application.directory import Directory
from orchestrator.application.pushes import OFFER, Push
from orchestrator.application.records import PushMode
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.freezes import Freeze
from orchestrator.domain.rollouts import Phase, Rollout
from protocol.configurations import Profile
from protocol.links import Outbound
from protocol.topics import Instances
from tests.contract.storages import APP, NOW, entry_of
from tests.unit.orchestrator.application.subjects import PUSH
from tests.unit.orchestrator.domain.builders import general, recalled, suspended, v

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Application
    from orchestrator.domain.software import Software

RETAINED = replace(APP, key=1)
LIVE = replace(RETAINED, push=PushMode.LIVE)
TOPIC = "kp1/kettle-v1/cmx_ota/tok/config/json/status"
ASK_TOPIC = "kp1/kettle-v1/cmx_ota/tok/consent/json/status"
ASKED = replace(PUSH, version=None, state=None, asked=v("1.1.0"), consulted=True)
LEFT = replace(PUSH, key=0, topic="kp1/kettle-v2/cmx_ota/old/config/json/status")
BODY = b'{"configId":"1.1.0","statusCode":200,"reasonPhrase":"OK","config":{"link":"1.1.0"}}'


def entry(application: Application = RETAINED, software: Software | None = None) -> Entry:
    return entry_of(application, [general("1.0.0"), software or general("1.1.0", "1.0.0")])


def render(push: Push, of: Entry | None) -> Outbound | None:
    """What is published for an endpoint that nobody has ever asked: one message at most."""
    messages = pushes.render(push, of, Instances())
    assert len(messages) <= 1
    return messages[0] if messages else None


def asked_of(push: Push, of: Entry | None) -> Outbound:
    """The message on the topic of consent, behind whatever is said of the offer."""
    message = pushes.render(push, of, Instances())[-1]
    assert (message.topic, message.qos, message.retain) == (ASK_TOPIC, 1, True)
    return message


def test_invariant_3_a_push_is_rendered_from_what_is_defined_now() -> None:
    assert render(PUSH, entry()) == Outbound(topic=TOPIC, payload=BODY, qos=1, retain=True)
    plain = replace(RETAINED, profile=Profile.RFC7)
    assert render(PUSH, entry(plain)) == Outbound(
        topic=TOPIC, payload=b'{"configId":"1.1.0","config":{"link":"1.1.0"}}', qos=1, retain=True
    )


def test_an_install_under_way_is_pushed_as_well() -> None:
    installing = replace(PUSH, state=AttemptState.INSTALLING)
    assert render(installing, entry()) == render(PUSH, entry())


@pytest.mark.parametrize(
    "push",
    [
        replace(PUSH, version=None, state=None),
        replace(PUSH, observe=False),
        *(
            replace(PUSH, state=state)
            for state in AttemptState
            if state not in {AttemptState.OFFERED, AttemptState.INSTALLING}
        ),
    ],
)
def test_without_an_offer_that_is_wanted_the_topic_is_cleared(push: Push) -> None:
    assert render(push, entry()) == Outbound(topic=TOPIC, payload=b"", qos=1, retain=True)
    assert render(push, entry(LIVE)) is None


@pytest.mark.parametrize("stopped", [suspended("1.1.0"), recalled("1.1.0"), general("1.1.0", given=False)])
def test_invariant_7_a_stopped_software_is_never_rendered(stopped: Software) -> None:
    assert render(PUSH, entry(software=stopped)) == Outbound(topic=TOPIC, payload=b"", qos=1, retain=True)
    assert render(PUSH, entry_of(RETAINED)) == Outbound(topic=TOPIC, payload=b"", qos=1, retain=True)
    assert render(PUSH, entry(LIVE, stopped)) is None


def test_a_started_install_outlives_a_suspension() -> None:
    installing = replace(PUSH, state=AttemptState.INSTALLING)
    assert render(installing, entry(software=suspended("1.1.0"))) == Outbound(topic=TOPIC, payload=BODY, retain=True)


def test_a_live_push_is_not_retained() -> None:
    assert render(PUSH, entry(LIVE)) == Outbound(topic=TOPIC, payload=BODY, qos=1, retain=False)


def test_a_push_that_the_broker_has_taken_before_restores_only_what_it_retains() -> None:
    assert pushes.render(PUSH, entry(), Instances(), again=True) == [render(PUSH, entry())]
    assert pushes.render(PUSH, entry(LIVE), Instances(), again=True) == []
    both = replace(PUSH, consulted=True)
    (ask,) = pushes.render(both, entry(LIVE), Instances(), again=True)
    assert (ask.topic, ask.retain) == (ASK_TOPIC, True)


def test_an_offer_that_is_sent_once_more_is_live_and_comes_alone() -> None:
    more = replace(PUSH, topic=OFFER, consulted=True)
    assert pushes.render(more, entry(LIVE), Instances()) == [render(PUSH, entry(LIVE))]
    for push, of in ((more, entry()), (more, None), (replace(more, observe=False), entry(LIVE))):
        assert pushes.render(push, of, Instances()) == []
    assert pushes.render(more, entry(LIVE, suspended("1.1.0")), Instances()) == []
    assert pushes.render(more, entry(LIVE), Instances(), again=True) == []


def test_a_later_push_of_the_endpoint_supersedes_all_but_topics_that_were_left() -> None:
    for push, latest, superseded in ((PUSH, 5, False), (PUSH, 6, True), (PUSH, 0, True), (LEFT, 6, False)):
        assert replace(push, latest=latest).superseded == superseded
    for latest, superseded in ((4, False), (6, True)):
        assert replace(PUSH, topic=OFFER, latest=latest).superseded == superseded


def test_nothing_is_said_for_an_application_that_is_gone() -> None:
    assert render(PUSH, None) is None


def test_a_topic_that_was_left_is_cleared_unless_somebody_has_moved_in_who_is_told_something_there() -> None:
    ask = b'{"configId":"1.1.0","metadata":{}}'
    offered, idle = PUSH, replace(PUSH, version=None, state=None)
    for topic, resident, of, payload in (
        (TOPIC, None, None, b""),
        (TOPIC, idle, entry(), b""),
        (TOPIC, offered, entry(), BODY),
        (TOPIC, offered, entry(LIVE), b""),
        (TOPIC, offered, entry(software=suspended("1.1.0")), b""),
        (ASK_TOPIC, offered, entry(), b""),
        (ASK_TOPIC, ASKED, entry(), ask),
        (ASK_TOPIC, ASKED, entry(LIVE), ask),
    ):
        left = pushes.render_left(topic, resident, of, Instances())
        assert left == Outbound(topic=topic, payload=payload, qos=1, retain=True)


def test_the_place_of_a_topic_that_was_left_is_whose_it_would_be_now() -> None:
    directory = Directory([entry()])
    for topic in (TOPIC, ASK_TOPIC):
        assert pushes.place_of(topic, directory, Instances()) == PUSH.place == (1, "kettle-v1", "tok")
        assert pushes.place_of(topic, Directory(), Instances()) is None
    assert pushes.place_of("something/else", directory, Instances()) is None


def test_an_ask_is_retained_beside_the_offers_topic_also_where_offers_are_live() -> None:
    retained = pushes.render(ASKED, entry(), Instances())
    assert [(message.topic, message.payload) for message in retained] == [
        (TOPIC, b""),
        (ASK_TOPIC, b'{"configId":"1.1.0","metadata":{}}'),
    ]
    (live,) = pushes.render(ASKED, entry(LIVE), Instances())
    assert live == retained[1]


def test_the_ask_is_cleared_when_nobody_is_asked_any_more_or_pushes_are_declined() -> None:
    for push in (replace(ASKED, asked=None), replace(ASKED, observe=False)):
        assert asked_of(push, entry()).payload == b""
        assert asked_of(push, entry(LIVE)).payload == b""
    offered = replace(PUSH, consulted=True)
    assert [message.payload for message in pushes.render(offered, entry(), Instances())] == [BODY, b""]


@pytest.mark.parametrize(
    "stopped",
    [
        suspended("1.1.0"),
        recalled("1.1.0"),
        general("1.1.0", given=False),
        replace(general("1.1.0"), rollout=Rollout(phase=Phase.PAUSED)),
        replace(general("1.1.0"), rollout=Rollout(phase=Phase.ABORTED)),
    ],
)
def test_invariant_7_an_ask_for_stopped_software_is_rendered_as_cleared(stopped: Software) -> None:
    assert asked_of(ASKED, entry(software=stopped)).payload == b""
    assert asked_of(ASKED, entry_of(RETAINED)).payload == b""


def test_invariant_7_nobody_is_asked_while_frozen() -> None:
    frozen = replace(RETAINED, frozen=Freeze(since=NOW, by="ops", reason=None, everywhere=False))
    assert asked_of(ASKED, entry(frozen)).payload == b""
    assert not pushes.asking(entry(frozen), v("1.1.0"))
    assert pushes.asking(entry(), v("1.1.0"))
    assert not pushes.asking(entry(), None)
    assert not pushes.asking(None, v("1.1.0"))


def test_invariant_1_what_the_broker_should_retain() -> None:
    ask = b'{"configId":"1.1.0","metadata":{}}'
    assert pushes.expected(PUSH, entry(), Instances()) == {TOPIC: BODY}
    assert pushes.expected(PUSH, entry(LIVE), Instances()) == {TOPIC: None}
    assert pushes.expected(PUSH, None, Instances()) == {TOPIC: None}
    assert pushes.expected(ASKED, entry(), Instances()) == {TOPIC: None, ASK_TOPIC: ask}
    assert pushes.expected(ASKED, entry(LIVE), Instances()) == {TOPIC: None, ASK_TOPIC: ask}
    assert pushes.expected(replace(ASKED, asked=None), entry(), Instances()) == {TOPIC: None, ASK_TOPIC: None}


def test_visible_is_what_is_open_and_not_stopped() -> None:
    assert pushes.visible(entry(), v("1.1.0"), AttemptState.OFFERED)
    assert not pushes.visible(None, v("1.1.0"), AttemptState.OFFERED)
    assert not pushes.visible(entry(), None, AttemptState.OFFERED)
    assert not pushes.visible(entry(), v("1.1.0"), None)
    assert not pushes.visible(entry(), v("1.1.0"), AttemptState.SOAKING)
