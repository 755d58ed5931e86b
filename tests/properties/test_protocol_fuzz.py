"""Whatever arrives, only errors of the protocol escape, and answers to them can be written."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from protocol import configurations, consents, health, metadata, payloads, progress, requests, topics
from protocol.errors import ProtocolError
from protocol.links import Inbound
from protocol.payloads import Limits
from protocol.requests import Echo, ForeignPush, RequestRefusedError
from protocol.topics import Instances, Resource

if TYPE_CHECKING:
    from collections.abc import Callable

INSTANCES = Instances()
LIMITS = Limits(payload_bytes=512, depth=8)
ADDRESS = topics.parse("kp1/smart-kettle-v1/cmx_ota/tok7/applied/json/42", INSTANCES)

# Text that is almost JSON finds more than arbitrary bytes do.
PIECES = [
    *'{}[],:"\\ \n\0',
    '"configId"', '"1.0.0"', '"statusCode"', '"reasonPhrase"', '"observe"', '"config"', '"keys"', '"state"',
    '"healthy"', '"metrics"', '"granted"', '"metadata"',
    '"\\ud800"', '"\\u0000"', "200", "1e999", "-0", "NaN", "-Infinity", "true", "null", "9" * 400, "\ufeff", "é",
]  # fmt: skip
almost_json = st.lists(st.sampled_from(PIECES), max_size=24).map(lambda pieces: "".join(pieces).encode())
members = st.dictionaries(
    st.sampled_from(
        ["configId", "statusCode", "reasonPhrase", "observe", "config", "keys", "state", "percent", "healthy", "reason",
         "metrics", "granted", "metadata"],
    ),
    st.sampled_from(
        ["1.0.0", "", "\ud800", "x" * 600, None, True, 200, 200.0, -1, 10**30, 0.5, [], {}, ["a", 1], {"a b": 1},
         {"a": 10**30}, {"a": "\0"}, {"a": []}, {"a": 1.5}],
    ),
).map(lambda found: json.dumps(found).encode())  # fmt: skip
bodies = st.binary(max_size=64) | almost_json | members

levels = st.sampled_from(
    ["kp1", "kp2", "v1", "cmx_ota", "cmx", "epmx", "tok7", "config", "applied", "progress", "health", "consent",
     "json", "get", "update", "keys", "delete", "0", "42", "status", "error", "", "+", "#", "\0", "\ud800", "é", "٣",
     "9" * 21],
)  # fmt: skip
resources = st.sampled_from(Resource).map(str)
aimed = st.builds(
    lambda instance, rest, suffix: f"kp1/smart-kettle-v1/{instance}/tok7/{rest}{suffix}",
    st.sampled_from(["cmx_ota", "cmx", "epmx"]),
    resources,
    st.sampled_from(["", "/0", "/42", "/status", "/error", "/42/status", "/", "/x"]),
)
anywhere = st.lists(levels, max_size=9).map("/".join) | st.text(max_size=40) | aimed


@given(anywhere, bodies, st.booleans(), st.none() | anywhere)
def test_only_refusals_escape_from_any_message(
    topic: str,
    payload: bytes,
    retain: bool,
    response_topic: str | None,
) -> None:
    error = _refusal(Inbound(topic=topic, payload=payload, retain=retain, response_topic=response_topic))
    if error is None:
        return
    answer = configurations.decode_error(configurations.error(error.status_code, error.reason))
    assert 400 <= answer.status_code < 500
    assert error.reason.isprintable()
    if error.error_topic is not None:
        error.error_topic.encode()
        assert not {"+", "#", "\0"} & set(error.error_topic)


def _refusal(inbound: Inbound) -> RequestRefusedError | None:
    try:
        request = requests.parse(inbound, INSTANCES, LIMITS)
        if not isinstance(request, Echo | ForeignPush):
            assert not inbound.retain
            requests.answer_topic(inbound, request.address).encode()
    except RequestRefusedError as error:
        return error
    return None


def _quietly(read: Callable[[bytes], object], payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        read(payload)


@given(bodies)
def test_only_protocol_errors_escape_from_any_decoder(payload: bytes) -> None:
    _quietly(lambda body: payloads.decode(body, LIMITS), payload)
    _quietly(lambda body: payloads.members(body, LIMITS), payload)
    _quietly(lambda body: configurations.decode_request(ADDRESS, body, LIMITS), payload)
    _quietly(lambda body: configurations.decode_applied(ADDRESS, body, LIMITS), payload)
    _quietly(lambda body: configurations.decode_answer(body, LIMITS), payload)
    _quietly(lambda body: configurations.decode_error(body, LIMITS), payload)
    _quietly(lambda body: progress.decode(ADDRESS, body, LIMITS), payload)
    _quietly(lambda body: health.decode(ADDRESS, body, LIMITS), payload)
    _quietly(lambda body: consents.decode(ADDRESS, body, LIMITS), payload)
    _quietly(lambda body: consents.decode_ask(body, LIMITS), payload)
    _quietly(lambda body: metadata.decode_attributes(body, LIMITS), payload)
    _quietly(lambda body: metadata.decode_query(body, LIMITS), payload)
    _quietly(lambda body: metadata.decode_keys(body, LIMITS), payload)


@given(bodies)
def test_a_report_that_is_accepted_can_be_stored(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        report = configurations.decode_applied(ADDRESS, payload, LIMITS)
        assert report.config_id.isascii()
        (report.reason_phrase or "").encode()
        assert "\0" not in (report.reason_phrase or "")


@given(bodies)
def test_health_that_is_accepted_can_be_stored(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        report = health.decode(ADDRESS, payload, LIMITS)
        metrics = report.metrics or {}
        assert len(metrics) <= health.METRICS
        assert payloads.storable({**metrics, "reason": report.reason})
        assert health.decode(ADDRESS, health.encode(healthy=report.healthy, metrics=metrics)).metrics == metrics


@given(st.text())
def test_texts_of_any_kind_are_split_or_refused(document: str) -> None:
    with contextlib.suppress(ProtocolError):
        payloads.members(document)


@given(anywhere)
def test_topics_are_read_in_one_way_or_refused(topic: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert topics.build(topics.parse(topic, INSTANCES)) == topic
