"""What is written is read back as it was."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from protocol import configurations, consents, health, metadata, payloads, progress, topics
from protocol.configurations import AppliedReport, ConfigRequest, Offer, Profile
from protocol.consents import ConsentAnswer, ConsentAsk
from protocol.health import HealthReport, Metric
from protocol.progress import ProgressReport, ProgressState
from protocol.topics import Address, Instances, Kind, Resource

INSTANCES = Instances()
ADDRESS = topics.parse("kp1/smart-kettle-v1/cmx_ota/tok7/config/json/42", INSTANCES)
RESOURCES = {
    Kind.SOFTWARE: [resource for resource in Resource if resource.endswith("/json")],
    Kind.CONFIGURATION: [Resource.CONFIG, Resource.APPLIED],
    Kind.METADATA: [resource for resource in Resource if not resource.endswith("/json")],
}
NAMES = {Kind.SOFTWARE: "cmx_ota", Kind.CONFIGURATION: "cmx", Kind.METADATA: "epmx"}

versions = st.from_regex(r"\A(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}(-[a-z][0-9a-z-]{0,8})?(\+[0-9a-z]{1,8})?\Z")
phrases = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=500)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def nested(whole: st.SearchStrategy[int]) -> st.SearchStrategy[payloads.JsonValue]:
    return st.recursive(
        st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )


values = nested(st.integers())
storable = nested(st.integers(-(2**63), 2**63 - 1))
keys = st.from_regex(r"\A[a-zA-Z0-9_]{1,64}\Z")
metrics: st.SearchStrategy[Metric] = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
)
pretty = st.sampled_from([None, 0, 3])


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    kind = draw(st.sampled_from(Kind))
    return Address(
        app_version=draw(st.from_regex(topics.APP_VERSION, fullmatch=True)),
        kind=kind,
        instance=NAMES[kind],
        token=draw(st.from_regex(topics.TOKEN, fullmatch=True)),
        resource=draw(st.sampled_from(RESOURCES[kind])),
        request_id=draw(st.none() | st.from_regex(r"[0-9]{1,20}", fullmatch=True)),
    )


@given(addresses())
def test_topics_are_read_back(address: Address) -> None:
    assert topics.parse(topics.build(address), INSTANCES) == address
    assert topics.is_ours(topics.status_topic(topics.build(address)))
    assert topics.is_ours(topics.error_topic(topics.build(address)))
    assert topics.may_answer_on(topics.status_topic(topics.build(address)), address)
    assert not topics.may_answer_on(topics.build(address), address)


@given(addresses())
def test_push_topics_are_read_back(address: Address) -> None:
    for topic_of, resource in ((topics.push_topic, Resource.CONFIG), (topics.consent_topic, Resource.CONSENT)):
        found = topics.parse_push(topic_of(INSTANCES, address.app_version, address.token), INSTANCES)
        assert found is not None
        assert (found.app_version, found.token, found.resource) == (address.app_version, address.token, resource)


@given(values)
def test_values_are_read_back(value: payloads.JsonValue) -> None:
    assert payloads.decode(payloads.encode(value)) == value


@given(st.none() | versions, st.none() | st.booleans())
def test_config_requests_are_read_back(config_id: str | None, observe: bool | None) -> None:
    payload = configurations.encode_request(config_id=config_id, observe=observe)
    expected = ConfigRequest(address=ADDRESS, config_id=config_id, observe=observe)
    assert configurations.decode_request(ADDRESS, payload) == expected


@given(versions, st.integers(100, 599), st.none() | phrases)
def test_reports_are_read_back(config_id: str, status_code: int, reason: str | None) -> None:
    payload = configurations.encode_applied(config_id=config_id, status_code=status_code, reason_phrase=reason)
    expected = AppliedReport(address=ADDRESS, config_id=config_id, status_code=status_code, reason_phrase=reason)
    assert configurations.decode_applied(ADDRESS, payload) == expected


@given(versions, st.sampled_from(ProgressState), st.none() | st.integers(0, 100), st.none() | phrases)
def test_progress_is_read_back(config_id: str, state: ProgressState, percent: int | None, message: str | None) -> None:
    payload = progress.encode(config_id=config_id, state=state, percent=percent, message=message)
    expected = ProgressReport(address=ADDRESS, config_id=config_id, state=state, percent=percent, message=message)
    assert progress.decode(ADDRESS, payload) == expected


@given(
    st.booleans(),
    st.none() | phrases,
    st.none() | st.dictionaries(st.from_regex(r"\A[a-zA-Z0-9_.-]{1,64}\Z"), metrics, max_size=32),
    st.none() | versions,
)
def test_health_is_read_back(
    healthy: bool, reason: str | None, metrics: dict[str, Metric] | None, config_id: str | None
) -> None:
    payload = health.encode(healthy=healthy, reason=reason, metrics=metrics, config_id=config_id)
    expected = HealthReport(address=ADDRESS, healthy=healthy, reason=reason, metrics=metrics, config_id=config_id)
    assert health.decode(ADDRESS, payload) == expected


@given(versions, st.booleans(), st.none() | phrases)
def test_answers_about_consent_are_read_back(config_id: str, granted: bool, reason: str | None) -> None:
    payload = consents.encode(config_id=config_id, granted=granted, reason_phrase=reason)
    expected = ConsentAnswer(address=ADDRESS, config_id=config_id, granted=granted, reason_phrase=reason)
    assert consents.decode(ADDRESS, payload) == expected


@given(versions, st.dictionaries(texts, values, max_size=6), st.booleans(), pretty)
def test_asks_for_consent_deliver_the_metadata_as_given(
    version: str, value: dict[str, payloads.JsonValue], ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert consents.decode_ask(consents.ask(version, raw)) == ConsentAsk(config_id=version, metadata=raw)


@given(versions, values.filter(lambda value: value is not None), st.sampled_from(Profile), st.booleans(), pretty)
def test_offers_deliver_the_specification_as_given(
    version: str,
    value: payloads.JsonValue,
    profile: Profile,
    ascii_only: bool,
    indent: int | None,
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    payload = configurations.offer(version, raw, profile)
    assert configurations.decode_answer(payload) == Offer(config_id=version, specification=raw)


@given(st.dictionaries(texts, values, max_size=6), pretty)
def test_members_are_the_exact_texts_of_their_values(
    document: dict[str, payloads.JsonValue], indent: int | None
) -> None:
    text = json.dumps(document, indent=indent)
    found = payloads.members(text)
    assert list(found) == list(document)
    assert all(raw in text and json.loads(raw) == document[name] for name, raw in found.items())


@given(values, pretty)
def test_compact_text_means_the_same_and_stays_compact(value: payloads.JsonValue, indent: int | None) -> None:
    tight = payloads.compact(json.dumps(value, indent=indent))
    assert tight == json.dumps(value, separators=(",", ":"))
    assert payloads.compact(tight) == tight


@given(st.dictionaries(keys, storable, min_size=1, max_size=8))
def test_metadata_is_read_back(attributes: dict[str, payloads.JsonValue]) -> None:
    assert metadata.decode_attributes(metadata.encode_attributes(attributes)) == attributes
    names = tuple(attributes)
    assert metadata.decode_keys(metadata.encode_keys(names)) == names
    assert metadata.decode_query(metadata.encode_query(names)) == names


@given(st.integers(100, 599), phrases)
def test_error_answers_are_read_back(status_code: int, reason: str) -> None:
    found = configurations.decode_error(configurations.error(status_code, reason))
    assert (found.status_code, found.reason_phrase) == (status_code, reason)
