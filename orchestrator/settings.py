"""The settings of one service: read once, checked whole, refused with a sentence for each that is wrong.

Rules:
- Flags beat the environment (`OTAO_*`), the environment beats `otao.toml`, that beats the defaults.
- A secret may come from a file: `OTAO_MQTT_URL_FILE`, `OTAO_DATABASE_URL_FILE`; not from both at once.
- A secret is in no repr and no error.
- Whether HTTP may be served beyond loopback depends on the API keys, which `service.wrong_keys` looks at.

Layer: settings; above application, below the adapters.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError

from orchestrator.application.documents import durations
from orchestrator.application.floods import PER_MINUTE
from orchestrator.application.partitions import MOST as MOST_PARTITIONS
from orchestrator.application.records import Registration
from orchestrator.application.retentions import Retention, Term
from protocol.errors import ProtocolError
from protocol.payloads import Limits
from protocol.topics import Instances

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PREFIX = "OTAO_"
CONFIG_FILE = Path("otao.toml")
CONFIG_VARIABLE = "OTAO_CONFIG"
_SECRETS = ("mqtt_url", "database_url")
EMBEDDED = "embedded"
_MOST_PORTS = 65535
_NAME = re.compile(r"[A-Za-z0-9._:-]+")


class BadSettingsError(Exception):
    """The settings cannot be used; the message has one line for each reason."""

    code = "settings-invalid"

    def __init__(self, *reasons: str) -> None:
        """Keep the reasons."""
        super().__init__("\n".join(reasons))
        self.reasons = reasons


def _listen(text: str) -> str:
    host, port = split_address(text)
    try:
        is_loopback(host)
    except ValueError as error:
        raise ValueError("the host must be an IP address or localhost") from error
    if port > _MOST_PORTS:
        raise ValueError("the port must be 0 to 65535; 0 takes any that is free")
    return text


def _advertised(text: str) -> str:
    host, port = _named(text)
    if port is not None and not 0 < port <= _MOST_PORTS:
        raise ValueError("the port must be 1 to 65535")
    if not _NAME.fullmatch(host):
        raise ValueError("the host must be a name or an IP address")
    return text


def _named(text: str) -> tuple[str, int | None]:
    """Host and port; an address alone, also one of IPv6 without brackets, has none."""
    try:
        return str(ip_address(text)), None
    except ValueError:
        return split_address(text) if ":" in text else (text, None)


def _broker(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if text != EMBEDDED and not text.startswith(("mqtt://", "mqtts://")):
        raise ValueError(f"must begin with mqtt:// or mqtts://, or be the word {EMBEDDED}")
    return url


def _loopback(text: str) -> str:
    if not is_loopback(split_address(_listen(text))[0]):
        raise ValueError("the embedded broker asks nobody who they are: it listens on loopback only")
    return text


def _hosts(value: object) -> object:
    return tuple(name.strip().lower() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


def _allowances(items: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if "/" in item:
            ip_network(item)
    return items


def _span_or(word: str) -> Callable[[object], object]:
    """Reads a span of time, or the word for an endless one."""

    def read(value: object) -> object:
        if value is None or isinstance(value, timedelta):
            return value
        if not isinstance(value, str):
            raise ValueError(f"must be an ISO 8601 duration such as P180D, or the word {word}")  # noqa: TRY004 - told so
        return None if value.strip().lower() == word else durations.parse(value.strip())

    return read


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_Listen: TypeAlias = Annotated[str, AfterValidator(_listen)]
_Advertised: TypeAlias = Annotated[str, AfterValidator(_advertised)]
_Loopback: TypeAlias = Annotated[str, AfterValidator(_loopback)]
_Broker: TypeAlias = Annotated[SecretStr, AfterValidator(_broker)]
_Span: TypeAlias = Annotated[timedelta | None, BeforeValidator(_span_or("forever"))]
_Silence: TypeAlias = Annotated[timedelta | None, BeforeValidator(_span_or("never"))]
_Amount: TypeAlias = Annotated[int, Field(ge=0, le=1_000_000_000)]


class Settings(BaseSettings):
    """All settings; the environment names them in upper case after `OTAO_`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=False,
        toml_file=CONFIG_FILE,
        validate_default=True,
    )

    mqtt_url: _Broker = SecretStr("mqtt://127.0.0.1:1883")
    """`mqtt://user:password@host:port`, or `mqtts://…`; user and password percent-encoded; or the word `embedded`."""
    mqtt_protocol: Literal["5", "3.1.1"] = "5"
    mqtt_client_id: Annotated[str | None, Field(min_length=1, max_length=128)] = None
    """The beginning of the client ID; None: `otao-` and the installation's name, which the database keeps."""
    mqtt_ca_file: Path | None = None
    """PEM; None: the system's certificates."""
    mqtt_certificate_file: Path | None = None
    mqtt_key_file: Path | None = None
    mqtt_keep_alive_seconds: Annotated[int, Field(ge=5, le=3600)] = 30
    mqtt_receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 2000
    """Reports that the broker may leave unacknowledged with us; MQTT 5 only."""
    mqtt_events: bool = True
    """Whether events are published for those who watch over MQTT; an application's numbers are in any case."""
    mqtt_publish_window: Annotated[int, Field(ge=1, le=10000)] = 100
    """Offers that may be unacknowledged by the broker."""
    embedded_listen: _Loopback = "127.0.0.1:0"
    """Where the embedded broker listens; port 0 takes any that is free."""

    database_url: SecretStr = SecretStr("sqlite+aiosqlite:///otao.db")
    partitions: Annotated[int, Field(ge=1, le=MOST_PARTITIONS)] = 1
    """Into how many parts the applications go, which replicas share among themselves; PostgreSQL only."""

    http_listen: _Listen = "127.0.0.1:8080"
    http_advertise: _Advertised | None = None
    """Where other replicas reach us, `HOST` or `HOST:PORT`; None: where HTTP is served."""
    http_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = ()
    """Names, besides localhost and IP addresses, under which a proxy passes requests on; separated by commas."""
    api_keys_file: Path = Path("otao.keys")
    """Who may use HTTP; from the first key on nobody else may."""

    link_check_allow: Annotated[tuple[str, ...], BeforeValidator(_hosts), AfterValidator(_allowances)] = ()
    """Hosts, addresses and networks beyond the public ones that a plan may look at; separated by commas."""

    registration: Annotated[Registration, BeforeValidator(_lower)] = Registration.CLOSED
    """Of applications that say nothing of it."""
    implicit_reports: bool = True
    """Whether a `configId` in a request counts as a report."""

    software_instance: str = "cmx_ota"
    configuration_instance: str = "cmx"
    metadata_instance: str = "epmx"

    payload_bytes: Annotated[int, Field(ge=256, le=16_777_216)] = 65536
    """Longest payload of an endpoint's message."""
    payload_depth: Annotated[int, Field(ge=1, le=200)] = 32
    offer_bytes_warning: Annotated[int, Field(ge=64, le=16_777_216)] = 1023
    """Plans warn of offers with larger packets; the buffer of Kaa's ESP32 sketch."""
    endpoint_messages_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = PER_MINUTE
    """What one endpoint may send for good; of more only its newest messages are taken."""
    batch_size: Annotated[int, Field(ge=1, le=5000)] = 1000
    """Most messages in one transaction."""
    audit_interval_seconds: Annotated[int, Field(ge=1, le=86400)] = 60
    """How often some retained offers are read back and compared."""

    history_retention: _Span = timedelta(days=180)
    """How long history entries, and attempts that a newer one has replaced, are kept; None: for ever."""
    history_per_endpoint: _Amount = 200
    """Most history entries of one endpoint; 0: all."""
    audit_retention: _Span = timedelta(days=730)
    audit_entries: _Amount = 1_000_000
    """Most entries of the audit; 0: all."""
    dead_letter_retention: _Span = timedelta(days=30)
    dead_letters: _Amount = 1000
    """Most messages that could not be processed; 0: all."""

    unseen_after: _Silence = timedelta(days=30)
    """From when on a silent endpoint counts as unseen; None: never."""
    retire_after: _Silence = None
    """After how much silence an endpoint is offered nothing until it is heard; None: never."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which HTTP is served."""
        return split_address(self.http_listen)

    def reached_at(self, host: str, port: int) -> str:
        """`HOST:PORT` at which other replicas reach us, who serve HTTP on these."""
        if self.http_advertise is not None:
            host, given = _named(self.http_advertise)
            port = port if given is None else given
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def embedded(self) -> tuple[str, int] | None:
        """Host and port of the embedded broker, or None when another one was named."""
        return split_address(self.embedded_listen) if self.mqtt_url.get_secret_value() == EMBEDDED else None

    @property
    def instances(self) -> Instances:
        """The names of the extension instances."""
        return Instances(
            software=self.software_instance, configuration=self.configuration_instance, metadata=self.metadata_instance
        )

    @property
    def limits(self) -> Limits:
        """How much of an endpoint's message is read."""
        return Limits(payload_bytes=self.payload_bytes, depth=self.payload_depth)

    @property
    def audit_interval(self) -> timedelta:
        """How often some retained offers are read back."""
        return timedelta(seconds=self.audit_interval_seconds)

    @property
    def retention(self) -> Retention:
        """What is kept, and for how long."""
        return Retention(
            history=self.history_retention,
            per_endpoint=self.history_per_endpoint or None,
            audit=Term(span=self.audit_retention, most=self.audit_entries or None),
            dead_letters=Term(span=self.dead_letter_retention, most=self.dead_letters or None),
        )

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if (self.mqtt_certificate_file is None) is not (self.mqtt_key_file is None):
            raise ValueError("mqtt_certificate_file and mqtt_key_file are needed together")
        if self.partitions > 1 and not self.database_url.get_secret_value().startswith("postgresql"):
            raise ValueError("several partitions need PostgreSQL: set database_url, or partitions to 1")
        try:
            _ = self.instances
        except ProtocolError as error:
            raise ValueError(str(error)) from error
        return self


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[IPv6]:PORT`.

    Raises:
        ValueError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address goes in brackets: [::1]:8080")
    if not colon or not host or not (port.isascii() and port.isdigit()):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host.

    Raises:
        ValueError: it is neither `localhost` nor an address.
    """
    return host == "localhost" or ip_address(host).is_loopback


def load(flags: Mapping[str, object], config: Path | None = None) -> Settings:
    """The settings, `flags` being those that were given (None: not given) and `config` the file that was named.

    Raises:
        BadSettingsError: a file cannot be read, or a setting is unknown or cannot be used.
    """
    named = config or (Path(given) if (given := os.environ.get(CONFIG_VARIABLE)) else None)
    if named is not None and not named.is_file():
        raise BadSettingsError(f"{named}: there is no such file")
    source = named or CONFIG_FILE
    try:
        return _sourced(source, {name: value for name, value in flags.items() if value is not None})()
    except ValidationError as error:
        raise BadSettingsError(*_reasons(error)) from None
    except (SettingsError, OSError, ValueError) as error:
        raise BadSettingsError(f"{source}: {_cause(error)}") from None


def _sourced(config: Path, flags: dict[str, object]) -> type[Settings]:
    secrets = _secrets_from_files()

    class Sourced(Settings):
        model_config = SettingsConfigDict(toml_file=config)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            # The first source that names a setting wins; those in the last line are empty.
            return (
                InitSettingsSource(settings_cls, flags),
                InitSettingsSource(settings_cls, secrets),
                env_settings,
                TomlConfigSettingsSource(settings_cls),
                *(init_settings, dotenv_settings, file_secret_settings),
            )

    return Sourced


def _secrets_from_files() -> dict[str, object]:
    """The secrets whose files the environment names; a last line break is not part of them."""
    found: dict[str, object] = {}
    for name in _SECRETS:
        variable = f"{PREFIX}{name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if not path:
            continue
        if os.environ.get(variable):
            raise BadSettingsError(f"{variable}_FILE: {variable} is set as well")
        try:
            found[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeError) as error:
            raise BadSettingsError(f"{variable}_FILE: {path} cannot be read: {_cause(error)}") from error
    return found


def _reasons(error: ValidationError) -> Iterator[str]:
    for details in error.errors(include_url=False, include_input=False):
        message = details["msg"].removeprefix("Value error, ")
        if not details["loc"]:
            yield message
            continue
        name = str(details["loc"][0])
        if details["type"] == "extra_forbidden":
            yield f"{name}: there is no such setting"
        else:
            yield f"{PREFIX}{name.upper()}: {message[:1].lower()}{message[1:]}"


def _cause(error: Exception) -> str:
    return (error.strerror or "unreadable") if isinstance(error, OSError) else str(error)
