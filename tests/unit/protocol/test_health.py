from __future__ import annotations

import json

import pytest

from protocol import health, topics
from protocol.errors import PayloadError
from protocol.health import HealthReport, Metric
from protocol.topics import Instances

ADDRESS = topics.parse("kp1/smart-kettle-v1/cmx_ota/tok7/health/json", Instances())
METRICS: dict[str, Metric] = {"heater.celsius": 21.5, "restarts": 3, "mode": "safe", "dry-run": False, "_": ""}


def _refused(payload: bytes) -> PayloadError:
    with pytest.raises(PayloadError) as refused:
        health.decode(ADDRESS, payload)
    return refused.value


@pytest.mark.parametrize("metrics", [None, {}, METRICS])
@pytest.mark.parametrize("config_id", [None, "1.1.0"])
@pytest.mark.parametrize("reason", [None, "the heater does not start"])
def test_health_is_read_back(reason: str | None, config_id: str | None, metrics: dict[str, Metric] | None) -> None:
    payload = health.encode(healthy=False, reason=reason, metrics=metrics, config_id=config_id)
    assert health.decode(ADDRESS, payload) == HealthReport(
        address=ADDRESS, healthy=False, reason=reason, metrics=metrics, config_id=config_id
    )


def test_what_is_none_is_left_out() -> None:
    assert health.encode(healthy=True) == b'{"healthy":true}'


def test_a_reason_is_cut_and_made_printable() -> None:
    report = health.decode(ADDRESS, json.dumps({"healthy": True, "reason": "\n" + "x" * 600}).encode())
    assert report.reason == "\ufffd" + "x" * 499


def test_as_many_metrics_as_are_allowed_with_the_longest_names() -> None:
    metrics: dict[str, Metric] = {f"{number:064}": number for number in range(health.METRICS)}
    assert health.decode(ADDRESS, health.encode(healthy=True, metrics=metrics)).metrics == metrics
    metrics["one-more"] = 0
    error = _refused(health.encode(healthy=True, metrics=metrics))
    assert (error.code, error.reason) == ("metric-count", "the message has 33 metrics, it must have at most 32")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "é", "a\n", "x" * 65])
def test_other_names_of_metrics_are_refused(name: str) -> None:
    error = _refused(json.dumps({"healthy": True, "metrics": {name: 1}}).encode())
    assert error.code == "metric-name-invalid"
    assert error.reason.endswith("must be 1 to 64 letters, digits, '_', '.' or '-'")


@pytest.mark.parametrize("value", ["null", "{}", "[]", '{"load":1}', "[1]"])
def test_metrics_are_flat(value: str) -> None:
    error = _refused(b'{"healthy":true,"metrics":{"cpu":%s}}' % value.encode())
    assert (error.code, error.reason) == ("member-type", "metrics.cpu must be a number, a string or a boolean")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{}", "member-missing"),
        (b'{"healthy":null}', "member-type"),
        (b'{"healthy":1}', "member-type"),
        (b'{"healthy":true,"reason":7}', "member-type"),
        (b'{"healthy":true,"metrics":[]}', "member-type"),
        (b'{"healthy":true,"metrics":{"a":"\\u0000"}}', "text-not-storable"),
        (b'{"healthy":true,"metrics":{"a":"\\ud800"}}', "text-not-storable"),
        (b'{"healthy":true,"metrics":{"a":9223372036854775808}}', "number-out-of-range"),
        (b'{"healthy":true,"metrics":{"a":1,"a":2}}', "member-duplicate"),
        (b'{"healthy":true,"configId":null}', "member-type"),
        (b'{"healthy":true,"configId":"1.1"}', "config-id-not-semver"),
        (b'{"healthy":true,"version":"1.1.0"}', "member-unknown"),
        (b"", "payload-not-json"),
    ],
)
def test_other_health_is_refused(payload: bytes, code: str) -> None:
    assert _refused(payload).code == code
