"""Settings: which source wins, what is refused and how it is said, what stays secret."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator import settings
from orchestrator.application.records import Registration
from orchestrator.application.retentions import Term
from orchestrator.settings import BadSettingsError, split_address

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("OTAO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def reasons(flags: dict[str, object] | None = None, config: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(BadSettingsError) as refused:
        settings.load(flags or {}, config)
    return refused.value.reasons


def test_nothing_has_to_be_set() -> None:
    loaded = settings.load({})
    assert loaded.mqtt_url.get_secret_value() == "mqtt://127.0.0.1:1883"
    assert loaded.database_url.get_secret_value() == "sqlite+aiosqlite:///otao.db"
    assert loaded.address == ("127.0.0.1", 8080)
    assert loaded.registration is Registration.CLOSED
    assert (loaded.limits.payload_bytes, loaded.limits.depth) == (65536, 32)
    assert loaded.instances.software == "cmx_ota"
    assert loaded.audit_interval.total_seconds() == 60


def test_flags_beat_the_environment_and_that_beats_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "otao.toml").write_text('batch_size = 1\nlog_level = "error"\nmqtt_publish_window = 7\n')
    monkeypatch.setenv("OTAO_BATCH_SIZE", "2")
    monkeypatch.setenv("OTAO_LOG_LEVEL", "Debug")
    loaded = settings.load({"batch_size": 3, "log_level": None})
    assert (loaded.batch_size, loaded.log_level, loaded.mqtt_publish_window) == (3, "debug", 7)


def test_the_file_may_be_named_by_flag_or_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named, other = tmp_path / "named.toml", tmp_path / "other.toml"
    named.write_text("batch_size = 1\n")
    other.write_text("batch_size = 2\n")
    monkeypatch.setenv("OTAO_CONFIG", str(other))
    assert settings.load({}).batch_size == 2
    assert settings.load({}, named).batch_size == 1


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    assert reasons(config=tmp_path / "gone.toml") == (f"{tmp_path}/gone.toml: there is no such file",)


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "otao.toml").write_text("batch_size =\n")
    (reason,) = reasons()
    assert reason.startswith("otao.toml: ")


@pytest.mark.parametrize("line", ["batchsize = 1", "[mqtt]\nurl = 'mqtt://x'"])
def test_a_file_names_only_settings_that_exist(tmp_path: Path, line: str) -> None:
    (tmp_path / "otao.toml").write_text(f"{line}\n")
    (reason,) = reasons()
    assert reason.endswith(": there is no such setting")


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAO_SERVICE_HOST", "10.0.0.1")
    assert settings.load({}).batch_size == 1000


def test_an_empty_variable_is_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAO_BATCH_SIZE", "")
    assert settings.load({}).batch_size == 1000


def test_the_file_of_api_keys_is_a_setting_like_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert str(settings.load({}).api_keys_file) == "otao.keys"
    (tmp_path / "otao.toml").write_text('api_keys_file = "/etc/otao/keys"\n')
    assert str(settings.load({}).api_keys_file) == "/etc/otao/keys"
    monkeypatch.setenv("OTAO_API_KEYS_FILE", "keys")
    assert str(settings.load({}).api_keys_file) == "keys"


@pytest.mark.parametrize("name", ["mqtt_url", "database_url"])
def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("mqtt://otao:s%20ecret@broker\n")
    monkeypatch.setenv(f"OTAO_{name.upper()}_FILE", str(tmp_path / "secret"))
    loaded = settings.load({})
    assert getattr(loaded, name).get_secret_value() == "mqtt://otao:s%20ecret@broker"
    assert "ecret@" not in repr(loaded)


def test_a_secret_has_one_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mqtt://broker")
    monkeypatch.setenv("OTAO_MQTT_URL", "mqtt://other")
    monkeypatch.setenv("OTAO_MQTT_URL_FILE", str(tmp_path / "secret"))
    assert reasons() == ("OTAO_MQTT_URL_FILE: OTAO_MQTT_URL is set as well",)


def test_a_secret_whose_file_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAO_MQTT_URL_FILE", "gone")
    assert reasons() == ("OTAO_MQTT_URL_FILE: gone cannot be read: No such file or directory",)


def test_a_wrong_secret_is_not_repeated() -> None:
    (reason,) = reasons({"mqtt_url": "http://otao:hunter2@broker"})
    assert reason == "OTAO_MQTT_URL: must begin with mqtt:// or mqtts://, or be the word embedded"


def test_the_embedded_broker_has_an_address_when_it_is_asked_for() -> None:
    assert settings.load({}).embedded is None
    assert settings.load({"mqtt_url": "embedded"}).embedded == ("127.0.0.1", 0)
    assert settings.load({"mqtt_url": "embedded", "embedded_listen": "[::1]:1883"}).embedded == ("::1", 1883)


def test_every_wrong_setting_gets_its_sentence() -> None:
    found = reasons({"batch_size": "many", "mqtt_keep_alive_seconds": 0, "registration": "ajar"})
    assert [reason.partition(":")[0] for reason in found] == [
        "OTAO_MQTT_KEEP_ALIVE_SECONDS",
        "OTAO_REGISTRATION",
        "OTAO_BATCH_SIZE",
    ]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("mqtt_url", "embeded", "or be the word embedded"),
        ("embedded_listen", "0.0.0.0:1883", "on loopback only"),
        ("embedded_listen", "broker:1883", "an IP address or localhost"),
        ("mqtt_protocol", "4", "'5' or '3.1.1'"),
        ("mqtt_certificate_file", "c.pem", "needed together"),
        ("metadata_instance", "cmx", "three different names"),
        ("metadata_instance", "a/b", "cannot be the name"),
        ("http_listen", "example.org:8080", "an IP address or localhost"),
        ("http_listen", "127.0.0.1:65536", "0 to 65535"),
        ("http_listen", "127.0.0.1", "HOST:PORT"),
        ("http_listen", "::1:8080", "in brackets"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(name: str, value: str, sentence: str) -> None:
    (reason,) = reasons({name: value})
    assert sentence in reason


def test_what_is_kept_is_bounded_unless_somebody_says_otherwise() -> None:
    kept = settings.load({}).retention
    assert (kept.history, kept.per_endpoint) == (timedelta(days=180), 200)
    assert kept.audit == Term(span=timedelta(days=730), most=1_000_000)
    assert kept.dead_letters == Term(span=timedelta(days=30), most=1000)


def test_spans_are_iso_8601_and_may_be_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "otao.toml").write_text('history_retention = "P2W"\naudit_entries = 0\nhistory_per_endpoint = 0\n')
    monkeypatch.setenv("OTAO_AUDIT_RETENTION", "Forever")
    kept = settings.load({}).retention
    assert (kept.history, kept.per_endpoint, kept.audit) == (timedelta(weeks=2), None, Term())


@pytest.mark.parametrize("line", ["history_retention = 86400", 'history_retention = "180 days"'])
def test_a_span_is_no_number_and_no_prose(tmp_path: Path, line: str) -> None:
    (tmp_path / "otao.toml").write_text(f"{line}\n")
    (reason,) = reasons()
    assert reason.startswith("OTAO_HISTORY_RETENTION: must be an ISO 8601 duration")


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:0", True),
        ("127.9.9.9:80", True),
        ("localhost:8080", True),
        ("[::1]:8080", True),
        ("0.0.0.0:8080", False),
        ("[::]:8080", False),
        ("192.0.2.1:8080", False),
    ],
)
def test_it_is_known_which_addresses_only_this_machine_reaches(listen: str, loopback: bool) -> None:
    assert settings.is_loopback(settings.load({"http_listen": listen}).address[0]) is loopback


def test_hosts_are_a_list_in_files_and_a_text_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "otao.toml").write_text('http_hosts = ["ota.example.org"]\n')
    assert settings.load({}).http_hosts == ("ota.example.org",)
    monkeypatch.setenv("OTAO_HTTP_HOSTS", "OTA.example.org, other.example.org,")
    assert settings.load({}).http_hosts == ("ota.example.org", "other.example.org")


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("localhost:8080", ("localhost", 8080))],
)
def test_addresses_are_split(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize("text", ["", ":80", "host", "host:", "host:x", "host:-1", "host:²", "::1", "[]:80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        split_address(text)


@pytest.mark.parametrize(
    ("advertised", "reached_at"),
    [
        (None, "127.0.0.1:80"),
        ("10.0.0.1", "10.0.0.1:80"),
        ("10.0.0.1:8081", "10.0.0.1:8081"),
        ("fd00::1", "[fd00::1]:80"),
        ("[fd00::1]:8081", "[fd00::1]:8081"),
        ("otao-1.internal", "otao-1.internal:80"),
    ],
)
def test_other_replicas_are_told_an_address_with_a_port(advertised: str | None, reached_at: str) -> None:
    assert settings.load({"http_advertise": advertised}).reached_at("127.0.0.1", 80) == reached_at


@pytest.mark.parametrize("text", ["host:0", "host:65536", "http://host:80", "host/path", "a b", ":80"])
def test_what_other_replicas_cannot_reach_is_refused(text: str) -> None:
    with pytest.raises(BadSettingsError, match="OTAO_HTTP_ADVERTISE"):
        settings.load({"http_advertise": text})


def test_several_partitions_need_postgresql() -> None:
    with pytest.raises(BadSettingsError, match="several partitions need PostgreSQL"):
        settings.load({"partitions": 2})
    assert settings.load({"partitions": 2, "database_url": "postgresql+asyncpg://otao:x@db/otao"}).partitions == 2
