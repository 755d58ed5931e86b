"""The connections of one service to its broker: one for endpoints, one for operators.

Rules:
- Each has a session of its own, so that operators and endpoints never wait for each other.

Layer: service; makes links for it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from broker_bridge.links import MqttLink, at_once
from broker_bridge.options import Address, LinkOptions
from orchestrator.application import watches
from orchestrator.application.partitions import MAIN, presence_of
from protocol import controls, topics
from protocol.links import Subscription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator.settings import Settings

OPERATORS_RECEIVE_MAXIMUM = 100
"""Commands that the broker may leave unacknowledged with us: far fewer than what makes a link stop reading."""


def for_endpoints(
    settings: Settings,
    installation: str,
    partition: str,
    *,
    admitted: Callable[[], Awaitable[None]] = at_once,
    covered: Sequence[Subscription] | None = None,
    left: Sequence[str] = (),
    subscribed: int | None = None,
) -> MqttLink:
    """The connection on which endpoints are heard and told what to install; `admitted` returns when it may be made.

    `covered` is what is subscribed to at first where there are several partitions; None: all that endpoints say. The
    session may still have the topic filters of `left`, if whoever gave them up did not come to tell the broker.
    `subscribed` is the digest of what was subscribed to in it last.
    """
    everything = topics.subscriptions(settings.instances)
    marker = marker_of(partition)
    options = replace(
        _options(settings, installation, partition),
        subscriptions=(*map(_subscription, everything), marker) if covered is None else tuple(covered),
        varying=covered is not None,
        renewed=subscribed != digest(settings, installation, partition),
        unwanted=() if covered is None else (*everything, *left),
        receive_maximum=settings.mqtt_receive_maximum,
        publish_window=settings.mqtt_publish_window,
    )
    return MqttLink(options, is_ours=topics.is_ours, admitted=admitted)


def digest(settings: Settings, installation: str, partition: str) -> int:
    """A number of 63 bits that tells apart what endpoints say that is subscribed to, in which session of which broker.

    It is that of the service that has one partition.
    """
    options = _options(settings, installation, partition)
    address = Address.parse(options.url)
    filters = (*topics.subscriptions(settings.instances), marker_of(partition).topic_filter)
    named = (address.host, str(address.port), options.client_id, *filters)
    return int.from_bytes(blake2b("\n".join(named).encode(), digest_size=8).digest()) >> 1


def for_operators(
    settings: Settings,
    installation: str,
    partition: str,
    *,
    admitted: Callable[[], Awaitable[None]] = at_once,
    covered: Sequence[Subscription] | None = None,
    left: Sequence[str] = (),
) -> MqttLink:
    """The connection on which operators command, and are told what happens; `admitted`, `covered`, `left` as above."""
    name = "operators" if partition == MAIN else f"{partition}-operators"
    everything = () if covered is None or partition == MAIN else (controls.SUBSCRIPTION,)
    options = replace(
        _options(settings, installation, name),
        subscriptions=(_subscription(controls.SUBSCRIPTION),) if covered is None else tuple(covered),
        varying=covered is not None,
        unwanted=(*everything, *left),
        receive_maximum=OPERATORS_RECEIVE_MAXIMUM,
        will=watches.will(presence_of(installation, partition)),
    )
    return MqttLink(options, is_ours=topics.is_ours, admitted=admitted)


def marker_of(partition: str) -> Subscription:
    """What a partition says to itself."""
    return Subscription(topic_filter=topics.marker_topic(partition), echo=True)


def _subscription(topic_filter: str) -> Subscription:
    return Subscription(topic_filter=topic_filter)


def _options(settings: Settings, installation: str, name: str) -> LinkOptions:
    return LinkOptions(
        url=settings.mqtt_url.get_secret_value(),
        client_id=f"{settings.mqtt_client_id or f'otao-{installation}'}-{name}",
        protocol=settings.mqtt_protocol,
        ca_file=settings.mqtt_ca_file,
        certificate_file=settings.mqtt_certificate_file,
        key_file=settings.mqtt_key_file,
        keep_alive=timedelta(seconds=settings.mqtt_keep_alive_seconds),
    )
