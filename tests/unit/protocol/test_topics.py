from __future__ import annotations

import pytest

from protocol import topics
from protocol.errors import SettingError, TopicError, UnknownResourceError
from protocol.topics import Address, Instances, Kind, Resource

INSTANCES = Instances()
PREFIX = "kp1/smart-kettle-v1/cmx_ota/tok7"
ADDRESS = Address(
    app_version="smart-kettle-v1",
    kind=Kind.SOFTWARE,
    instance="cmx_ota",
    token="tok7",
    resource=Resource.CONFIG,
    request_id="42",
)


def test_the_longest_topic_of_an_offer_answers_the_longest_request() -> None:
    longest = topics.longest_offer(INSTANCES, "smart-kettle-v1", "tok7")
    asked = topics.parse(longest.removesuffix("/status"), INSTANCES)
    assert (asked.resource, asked.request_id) == (Resource.CONFIG, "9" * 20)
    assert topics.status_topic(topics.build(asked)) == longest
    with pytest.raises(UnknownResourceError):
        topics.parse(longest.removesuffix("/status") + "9", INSTANCES)


def test_parse_reads_every_level() -> None:
    assert topics.parse(f"{PREFIX}/config/json/42", INSTANCES) == ADDRESS
    assert topics.build(ADDRESS) == f"{PREFIX}/config/json/42"


@pytest.mark.parametrize("request_id", ["0", "007", "9" * 20])
def test_request_id_is_kept_as_it_was_written(request_id: str) -> None:
    assert topics.parse(f"{PREFIX}/applied/json/{request_id}", INSTANCES).request_id == request_id


@pytest.mark.parametrize("rest", ["applied/json/" + "9" * 21, "applied/json/٣", "applied/json/-1", "42", "a\u200d"])
def test_other_last_levels_are_unknown_resources(rest: str) -> None:
    with pytest.raises(UnknownResourceError):
        topics.parse(f"{PREFIX}/{rest}", INSTANCES)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "kp1",
        PREFIX,
        f"{PREFIX}/",
        f"/{PREFIX}/config/json",
        f"{PREFIX}/config/json/",
        f"{PREFIX}//config/json",
        f"{PREFIX}/config//json",
        f"{PREFIX}/config/json/+",
        f"{PREFIX}/config/json/#",
        f"{PREFIX}/config/json/\0",
        f"{PREFIX}/config/json/\ud800",
        f"{PREFIX}/{'x' * 512}",
        "kp2/smart-kettle-v1/cmx_ota/tok7/config/json",
        "KP1/smart-kettle-v1/cmx_ota/tok7/config/json",
        "kp1//cmx_ota/tok7/config/json",
        "kp1/smart-kettle-v1//tok7/config/json",
        "kp1/smart-kettle-v1/other/tok7/config/json",
        "kp1/smart-kettle-v1/cmx_ota//config/json",
        "kp1/smart-kettle-v1/cmx_ota/tok.7/config/json",
        "kp1/smart-kettle-v1/cmx_ota/tok\n/config/json",
        f"kp1/smart-kettle-v1/cmx_ota/{'t' * 65}/config/json",
        f"kp1/{'v' * 65}/cmx_ota/tok7/config/json",
    ],
)
def test_malformed_topics_are_refused(topic: str) -> None:
    with pytest.raises(TopicError) as refused:
        topics.parse(topic, INSTANCES)
    assert refused.value.code == "topic-malformed"


@pytest.mark.parametrize(
    ("instance", "rest"),
    [
        ("cmx_ota", "config/json/42/extra"),
        ("cmx_ota", "config/json/network"),
        ("cmx_ota", "update/keys"),
        ("epmx", "applied/json"),
        ("cmx", "progress/json"),
        ("cmx", "health/json"),
        ("cmx", "consent/json"),
        ("epmx", "consent/json/5"),
        ("cmx_ota", "consent/json/5/6"),
    ],
)
def test_each_instance_has_its_own_resources(instance: str, rest: str) -> None:
    with pytest.raises(UnknownResourceError) as refused:
        topics.parse(f"kp1/smart-kettle-v1/{instance}/tok7/{rest}", INSTANCES)
    assert refused.value.instance == instance


def test_every_resource_is_found_on_an_instance() -> None:
    kinds = {"cmx_ota": Kind.SOFTWARE, "cmx": Kind.CONFIGURATION, "epmx": Kind.METADATA}
    for resource in Resource:
        instance = "cmx_ota" if resource.endswith("/json") else "epmx"
        found = topics.parse(f"kp1/smart-kettle-v1/{instance}/tok7/{resource}", INSTANCES)
        assert (found.resource, found.kind, found.request_id) == (resource, kinds[instance], None)


def test_instance_names_are_settings() -> None:
    renamed = Instances(software="ota", configuration="cfg", metadata="meta")
    assert topics.parse("kp1/v/ota/t/config/json", renamed).kind is Kind.SOFTWARE
    assert topics.parse("kp1/v/cfg/t/config/json", renamed).kind is Kind.CONFIGURATION
    assert topics.parse("kp1/v/meta/t/get", renamed).kind is Kind.METADATA
    assert topics.subscriptions(renamed) == ["kp1/+/ota/+/#", "kp1/+/cfg/+/#", "kp1/+/meta/+/#"]


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a\0", "cmx"])
def test_instance_names_that_cannot_work_are_refused(name: str) -> None:
    with pytest.raises(SettingError):
        Instances(software=name)


def test_answers_and_pushes() -> None:
    assert topics.status_topic(topics.build(ADDRESS)) == f"{PREFIX}/config/json/42/status"
    assert topics.error_topic(f"{PREFIX}/config/xml") == f"{PREFIX}/config/xml/error"
    push = topics.push_topic(INSTANCES, "smart-kettle-v1", "tok7")
    assert push == f"{PREFIX}/config/json/status"
    found = topics.parse_push(push, INSTANCES)
    assert found is not None
    assert (found.token, found.request_id, found.resource) == ("tok7", None, Resource.CONFIG)


def test_asks_for_consent_have_a_topic_of_their_own() -> None:
    topic = topics.consent_topic(INSTANCES, "smart-kettle-v1", "tok7")
    assert topic == f"{PREFIX}/consent/json/status"
    assert topics.is_ours(topic)
    found = topics.parse_push(topic, INSTANCES)
    assert found is not None
    assert (found.token, found.request_id, found.resource) == ("tok7", None, Resource.CONSENT)


@pytest.mark.parametrize(
    "topic",
    [
        f"{PREFIX}/config/json/42/status",
        f"{PREFIX}/applied/json/status",
        f"{PREFIX}/health/json/status",
        f"{PREFIX}/consent/json/7/status",
        f"{PREFIX}/consent/json",
        f"{PREFIX}/consent/json/error",
        "kp1/smart-kettle-v1/cmx/tok7/consent/json/status",
        f"{PREFIX}/config/json",
        f"{PREFIX}/config/json/error",
        "kp1/smart-kettle-v1/cmx/tok7/config/json/status",
        "kp1/status",
    ],
)
def test_only_the_push_topics_are_push_topics(topic: str) -> None:
    assert topics.parse_push(topic, INSTANCES) is None


def test_our_own_traffic_is_told_apart() -> None:
    assert topics.is_ours(f"{PREFIX}/config/json/status")
    assert topics.is_ours(f"{PREFIX}/config/json/42/error")
    assert not topics.is_ours(f"{PREFIX}/config/json/42")
    assert not topics.is_ours(f"{PREFIX}/config/json/mystatus")


@pytest.mark.parametrize(
    ("response_topic", "allowed"),
    [
        (f"{PREFIX}/config/json/42/status", True),
        (f"{PREFIX}/answers/mine", True),
        ("kp1/smart-kettle-v1/anything/tok7/x", True),
        (f"{PREFIX}", False),
        (f"{PREFIX}/", False),
        (f"{PREFIX}/#", False),
        (f"{PREFIX}/a//b", False),
        (f"{PREFIX}/a\0", False),
        (f"{PREFIX}/{'x' * 512}", False),
        ("kp1/smart-kettle-v1/+/tok7/x", False),
        ("kp1/smart-kettle-v1/cmx_ota/tok8/config/json/status", False),
        ("kp1/other-product-v1/cmx_ota/tok7/config/json/status", False),
        ("kp2/smart-kettle-v1/cmx_ota/tok7/x", False),
        (f"{PREFIX}/applied/json", False),
        (f"{PREFIX}/applied/json/7", False),
        ("kp1/smart-kettle-v1/epmx/tok7/update", False),
        ("otao/v1/smart-kettle/control/rollout.pause", False),
        ("", False),
    ],
)
def test_response_topics_stay_in_the_endpoints_own_namespace(response_topic: str, *, allowed: bool) -> None:
    assert topics.may_answer_on(response_topic, ADDRESS) is allowed


def test_topics_of_the_service() -> None:
    assert topics.marker_topic("smart-kettle") == "otao/v1/partition/smart-kettle/marker"
    assert topics.sentinel_topic("smart-kettle") == "otao/v1/partition/smart-kettle/sentinel"
    for partition in ("", "a/b", "#"):
        with pytest.raises(SettingError):
            topics.marker_topic(partition)


def test_name_patterns() -> None:
    assert topics.APPLICATION.fullmatch("smart_kettle-2")
    assert not topics.APPLICATION.fullmatch("Smart")
    assert topics.ENDPOINT_ID.fullmatch("kettle-7.lab~1_x")
    assert not topics.ENDPOINT_ID.fullmatch("kettle 7")
    assert not topics.ENDPOINT_ID.fullmatch("kettle\n")
    assert not topics.TOKEN.fullmatch("tok\n")
