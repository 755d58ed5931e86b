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
- Whoever decides is asked for consent once, however often Otao's question is seen. An offer is not asked about.
- Only the client's own topics count: some brokers deliver other clients' retained messages.

Spec: 7/CMP; MQTT 3.1.1, which every broker speaks.
Layer: device_sim.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import aiomqtt

from device_sim import addresses, offers, outboxes, state_files
from device_sim.connections import Connection
from device_sim.errors import BrokerRefusedError, PlanError
from device_sim.offers import InstallError
from device_sim.outboxes import Outbox
from device_sim.owners import Owner
from device_sim.state_files import Failure, Remembered
from protocol import configurations, health, progress, topics
from protocol.errors import PayloadError
from protocol.fields import SEMVER
from protocol.progress import ProgressState
from protocol.topics import Instances, Resource

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from device_sim.offers import Offer
    from device_sim.owners import Asked
    from protocol.health import Metric

MOST_STARTS = 3
"""How often an install that is interrupted by a restart is begun."""
_FIRST_WAIT, _LONGEST_WAIT, _DOUBLINGS = 0.2, 30.0, 8
_REFUSED = frozenset({4, 5, 134, 135})
"""Bad user name or password, not authorized: as MQTT 3.1.1 §3.2.2.3 and as MQTT 5 number them."""
_INTERNAL = 500
_LOGGED_BYTES = 500
_log = logging.getLogger("otao.client")


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
        consent: asks the owner whether a version may come, and returns the answer, with a reason or without; it is
            cancelled when Otao takes the question back. None: Otao's questions are not heard.
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
        consent: Callable[[Asked], Awaitable[bool | tuple[bool, str]]] | None = None,
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
        self._outbox = Outbox(self._base)
        self._owner = None if consent is None else Owner(consent, self._consent)

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
                if self._owner is not None:
                    group.create_task(self._owner.run(), name="ota.owner")
        except* (BrokerRefusedError, state_files.StateFileError) as errors:
            raise errors.exceptions[0] from None

    async def report_health(
        self, *, healthy: bool, reason: str | None = None, metrics: Mapping[str, Metric] | None = None
    ) -> None:
        """Say how the device fares with what runs; said again until Otao has confirmed it, or there is newer health.

        Without a connection it waits for one; it does not survive a restart.

        Args:
            healthy: whether all is well.
            reason: for people; 500 characters of it are kept.
            metrics: at most 32 numbers, strings and booleans, by names of letters, digits, `_`, `.` and `-`.

        Raises:
            ValueError: the metrics are none that Otao takes.
        """
        payload = health.encode(healthy=healthy, reason=reason, metrics=metrics, config_id=self.running)
        try:
            health.decode(topics.parse(f"{self._base}{Resource.HEALTH}", Instances()), payload)
        except PayloadError as error:
            raise ValueError(error.reason) from error
        await self._outbox.ask(outboxes.HEALTH, Resource.HEALTH, payload)

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
                self._outbox.disconnect()
            longest: float = min(_FIRST_WAIT * 2 ** min(failures, _DOUBLINGS), _LONGEST_WAIT)
            failures += 1
            await asyncio.sleep(random.uniform(0, longest))

    def _client(self) -> Connection:
        username, password = self._address.credentials(self.token)
        return Connection(
            self._address.host,
            self._address.port,
            username=username,
            password=password,
            identifier=self.token,
            protocol=aiomqtt.ProtocolVersion.V311,
            keepalive=self._keep_alive,
            tls_context=self._tls,
        )

    async def _serve(self, mqtt: Connection) -> None:
        await mqtt.subscribe([(f"{self._base}{path}", 1) for path in self._subscriptions()])
        self._outbox.connect(mqtt)
        # What runs and what failed is said anew, and what is asked comes anew.
        self._outbox.keep({outboxes.HEALTH})
        await self._report()
        await self._report_failure()
        await self._outbox.repeat(outboxes.HEALTH)
        while True:
            try:
                async with asyncio.timeout(self._retry_seconds):
                    message = await anext(mqtt.messages)
            except TimeoutError:
                await self._outbox.repeat()
            else:
                await self._received(message.topic.value, message.payload)

    def _subscriptions(self) -> list[str]:
        asks = [f"{Resource.CONSENT}/status", f"{Resource.CONSENT}/+/+"] if self._owner is not None else []
        return [f"{Resource.CONFIG}/status", f"{Resource.APPLIED}/+/+", f"{Resource.HEALTH}/+/+", *asks]

    async def _received(self, topic: str, payload: object) -> None:
        if not topic.startswith(self._base) or not isinstance(payload, bytes):
            return
        if topic == f"{self._base}config/json/status":
            await self._pushed(payload)
            return
        if topic == f"{self._base}consent/json/status":
            if self._owner is not None:
                self._owner.hear(payload)
            return
        asked, _, answer = topic.rpartition("/")
        about = self._outbox.answered(asked)
        if about is not None and answer == "error":
            _log.error("a report was refused: %s", payload[:_LOGGED_BYTES])
        if self._state.failure is not None and about == outboxes.failure_of(self._state.failure.version):
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
        elif not self._outbox.waits(outboxes.RUNNING):
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
        await self._outbox.tell(Resource.PROGRESS, payload)

    async def _consent(self, payload: bytes) -> None:
        await self._outbox.ask(outboxes.CONSENT, Resource.CONSENT, payload)

    async def _report(self) -> None:
        payload = configurations.encode_applied(config_id=self.running)
        await self._outbox.ask(outboxes.RUNNING, Resource.APPLIED, payload)

    async def _report_failure(self) -> None:
        failure = self._state.failure
        if failure is not None:
            payload = configurations.encode_applied(
                config_id=failure.version, status_code=failure.status_code, reason_phrase=failure.reason
            )
            await self._outbox.ask(outboxes.failure_of(failure.version), Resource.APPLIED, payload)


def _checked(version: str) -> str:
    if not SEMVER.fullmatch(version):
        raise PlanError(f"{version!a} is no SemVer 2.0.0 version")
    return version
