"""`OtaClient`, a small client for devices that run Python: it hears of offers, installs them, and reports.

    async def install(offer: Offer) -> None:
        image = Path("/var/tmp/image")
        await download(offer.link, image)
        await offer.verify(image)
        await flash(image)

    asyncio.run(OtaClient("mqtt://kettle-7:secret@broker", app_version="smart-kettle-v1", token="kettle-7",
                          running="1.0.0", install=install, state_file=Path("/var/lib/kettle/ota.json")).run())

Rules:
- What runs is reported at each connection and after each install, and repeated until Otao has confirmed it.
- An offer of what runs is answered by reporting that, and never installed; one install at a time.
- That an install has begun is written down before it begins: one that is interrupted is begun again, three times.
- A failure is reported with a status code and a reason, survives a restart, and is never a reason to end.
- Only the client's own topics count: some brokers deliver other clients' retained messages.

Spec: 7/CMP; MQTT 3.1.1, which every broker speaks.
Layer: device_sim.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import aiomqtt

from device_sim import addresses, offers, state_files
from device_sim.errors import BrokerRefusedError, PlanError
from device_sim.offers import InstallError
from device_sim.state_files import Failure, Remembered
from protocol import configurations, progress, topics
from protocol.errors import PayloadError
from protocol.fields import SEMVER
from protocol.progress import ProgressState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from device_sim.offers import Offer

MOST_STARTS = 3
"""How often an install that is interrupted by a restart is begun."""
_FIRST_WAIT, _LONGEST_WAIT, _DOUBLINGS = 0.2, 30.0, 8
_REFUSED = frozenset({4, 5, 134, 135})
"""Bad user name or password, not authorized: as MQTT 3.1.1 §3.2.2.3 and as MQTT 5 number them."""
_INTERNAL = 500
_LOGGED_BYTES = 500
_log = logging.getLogger("otao.client")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A report that Otao has not yet confirmed."""

    topic: str
    payload: bytes
    failure: Failure | None
    """What it is about; None when it says what runs."""


class OtaClient:
    """A device's connection to Otao.

    Args:
        url: the broker, `mqtt://USER:PASSWORD@HOST:PORT`, or `mqtts://` for TLS.
        app_version: the application version, the second level of every topic.
        token: the endpoint's token.
        running: what runs. A text is the version at the very first start; later, the state file knows. A function is
            asked at each start and after each install, and believed: for devices that can tell, or that restart to
            install.
        install: installs what is offered, and returns when it runs; or restarts the device; or raises. What it raises
            is reported as the failure, an `InstallError` with its status code.
        state_file: what has to survive a restart; its folder must exist.
        keep_alive: seconds.
        retry_seconds: until an unconfirmed report is repeated.
        tls_context: for `mqtts`, instead of the system's authorities.

    Raises:
        AddressError: `url` is no address.
        PlanError: the names cannot stand in a topic, or `running` is no SemVer version.
        StateFileError: the state file cannot be read.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        url: str,
        *,
        app_version: str,
        token: str,
        running: str | Callable[[], str],
        install: Callable[[Offer], Awaitable[None]],
        state_file: Path,
        keep_alive: int = 60,
        retry_seconds: float = 10.0,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._address = addresses.parse(url)
        if not topics.APP_VERSION.fullmatch(app_version) or not topics.TOKEN.fullmatch(token):
            raise PlanError(f"{app_version!a} and {token!a} cannot stand in a topic")
        self.token = token
        self._base = f"kp1/{app_version}/cmx_ota/{token}/"
        self._actual = running if callable(running) else None
        self._install = install
        self._state_file = state_file
        self._keep_alive = keep_alive
        self._retry_seconds = retry_seconds
        self._tls = tls_context or (ssl.create_default_context() if self._address.encrypted else None)
        stated = running() if callable(running) else running
        remembered = state_files.read(state_file) or Remembered(running=_checked(stated))
        self._state = remembered if self._actual is None else replace(remembered, running=_checked(stated))
        self._offered: configurations.Offer | None = None
        self._arrived = asyncio.Event()
        self._mqtt: aiomqtt.Client | None = None
        self._pending: dict[str, _Request] = {}
        self._last_id = 0

    @property
    def running(self) -> str:
        """The version that runs."""
        return self._state.running

    async def run(self) -> None:
        """Serve until cancelled, whatever the network does.

        Raises:
            BrokerRefusedError: user name or password is wrong: no repetition mends that.
            StateFileError: the state file cannot be written.
        """
        self._recover()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._stay_connected(), name="ota.connection")
                group.create_task(self._install_offers(), name="ota.install")
        except* (BrokerRefusedError, state_files.StateFileError) as errors:
            raise errors.exceptions[0] from None

    def _recover(self) -> None:
        """Settle what the last run has left behind."""
        state = self._state
        if state.started is not None and state.started == state.running:
            state = replace(state, started=None, starts=0)
        elif state.started is not None and state.starts >= MOST_STARTS:
            reason = f"the install was interrupted {state.starts} times"
            state = replace(
                state, started=None, starts=0, failure=Failure(version=state.started, status_code=500, reason=reason)
            )
        self._remember(state)

    def _remember(self, state: Remembered) -> None:
        state_files.write(self._state_file, state)
        self._state = state

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            try:
                async with self._client() as mqtt:
                    failures = 0
                    await self._serve(mqtt)
            except aiomqtt.MqttCodeError as error:
                if getattr(error.rc, "value", error.rc) in _REFUSED:
                    raise BrokerRefusedError(self._address.place, str(error)) from error
                _log.warning("connection lost: %s", error)
            except aiomqtt.MqttError as error:
                _log.warning("connection lost: %s", error)
            finally:
                self._mqtt = None
            longest: float = min(_FIRST_WAIT * 2 ** min(failures, _DOUBLINGS), _LONGEST_WAIT)
            failures += 1
            await asyncio.sleep(random.uniform(0, longest))

    def _client(self) -> aiomqtt.Client:
        username, password = self._address.credentials(self.token)
        return aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=username,
            password=password,
            identifier=self.token,
            protocol=aiomqtt.ProtocolVersion.V311,
            keepalive=self._keep_alive,
            tls_context=self._tls,
        )

    async def _serve(self, mqtt: aiomqtt.Client) -> None:
        await mqtt.subscribe([(f"{self._base}config/json/status", 1), (f"{self._base}applied/json/+/+", 1)])
        self._mqtt = mqtt
        self._pending.clear()
        await self._report()
        await self._report_failure()
        while True:
            try:
                async with asyncio.timeout(self._retry_seconds):
                    message = await anext(mqtt.messages)
            except TimeoutError:
                for request in list(self._pending.values()):
                    await mqtt.publish(request.topic, request.payload, qos=1)
            else:
                await self._received(message.topic.value, message.payload)

    async def _received(self, topic: str, payload: object) -> None:
        if not topic.startswith(self._base) or not isinstance(payload, bytes):
            return
        if topic == f"{self._base}config/json/status":
            await self._pushed(payload)
            return
        asked, _, answer = topic.rpartition("/")
        request = self._pending.pop(asked, None)
        if request is None:
            return
        if answer == "error":
            _log.error("a report was refused: %s", payload[:_LOGGED_BYTES])
        if request.failure is not None and request.failure == self._state.failure:
            self._remember(replace(self._state, failure=None))

    async def _pushed(self, payload: bytes) -> None:
        try:
            answer = configurations.decode_answer(payload)
        except PayloadError as error:
            _log.error("an offer is none: %s", error.reason)
            return
        self._offered = answer if isinstance(answer, configurations.Offer) else None
        if self._offered is None:
            return
        if self._offered.config_id != self.running:
            self._arrived.set()
        elif not any(request.failure is None for request in self._pending.values()):
            await self._report()

    async def _install_offers(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            offered = self._offered
            failure = self._state.failure
            # An offer of what has failed is the old one until Otao has confirmed that it knows of the failure.
            if offered is None or (failure is not None and failure.version == offered.config_id):
                continue
            if offered.config_id != self.running:
                await self._begin(offered)

    async def _begin(self, offered: configurations.Offer) -> None:
        version, state = offered.config_id, self._state
        starts = state.starts + 1 if state.started == version else 1
        self._remember(replace(state, started=version, starts=starts, failure=None))
        failure = await self._try_to_install(offered)
        ended = self._state if failure is None else replace(self._state, failure=failure)
        if self._actual is not None:
            ended = replace(ended, running=_checked(self._actual()))
        elif failure is None:
            ended = replace(ended, running=version)
        self._remember(replace(ended, started=None, starts=0))
        if failure is None:
            await self._report()
            return
        if self._offered is not None and self._offered.config_id == version:
            # It came again during the install; whether it is tried again is for Otao to say.
            self._offered = None
        await self._report_failure()

    async def _try_to_install(self, offered: configurations.Offer) -> Failure | None:
        version = offered.config_id

        async def tell(state: ProgressState, percent: int | None, message: str | None) -> None:
            await self._tell(progress.encode(config_id=version, state=state, percent=percent, message=message))

        try:
            offer = offers.read_offer(version, offered.specification, tell)
            # From here on Otao counts the attempt as begun.
            await offer.progress(ProgressState.DOWNLOADING, 0)
            await self._install(offer)
        except InstallError as error:
            return Failure(version=version, status_code=error.status_code, reason=error.reason)
        except Exception as error:  # noqa: BLE001 - whatever a device's own code raises is the attempt's failure
            _log.warning("installing %s failed", version, exc_info=True)
            return Failure(version=version, status_code=_INTERNAL, reason=f"{type(error).__name__}: {error}")
        if self._actual is not None and self._actual() != version:
            return Failure(version=version, status_code=_INTERNAL, reason=f"{self._actual()} runs after the install")
        return None

    async def _tell(self, payload: bytes) -> None:
        await self._publish(f"{self._base}progress/json", payload)

    async def _report(self) -> None:
        for topic, request in list(self._pending.items()):
            if request.failure is None:
                del self._pending[topic]
        await self._ask(configurations.encode_applied(config_id=self.running))

    async def _report_failure(self) -> None:
        failure = self._state.failure
        if failure is not None:
            payload = configurations.encode_applied(
                config_id=failure.version, status_code=failure.status_code, reason_phrase=failure.reason
            )
            await self._ask(payload, failure)

    async def _ask(self, payload: bytes, failure: Failure | None = None) -> None:
        self._last_id += 1
        topic = f"{self._base}applied/json/{self._last_id}"
        self._pending[topic] = _Request(topic=topic, payload=payload, failure=failure)
        await self._publish(topic, payload)

    async def _publish(self, topic: str, payload: bytes) -> None:
        """Publish if there is a connection; what has to arrive is among the pending ones."""
        if self._mqtt is not None:
            with suppress(aiomqtt.MqttError):
                await self._mqtt.publish(topic, payload, qos=1)


def _checked(version: str) -> str:
    if not SEMVER.fullmatch(version):
        raise PlanError(f"{version!a} is no SemVer 2.0.0 version")
    return version
