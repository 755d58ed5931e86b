"""The service's numbers in Prometheus' text format.

Rules: names end in their unit or in `_total`; labels are codes and kinds, never tokens or versions.
Layer: api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import Metric

    from orchestrator.application.tallies import Tallies

_LABELLED = (
    ("accepted", "otao_messages_accepted", "Requests of endpoints that were processed.", "resource"),
    ("refused", "otao_messages_refused", "Messages that changed nothing.", "code"),
    ("commands", "otao_commands", "Commands of operators over MQTT that were executed.", "command"),
    ("commands_refused", "otao_commands_refused", "The same that were refused.", "code"),
    ("answers_refused", "otao_answers_refused", "Answers that did not reach the broker.", "reason"),
    ("changes", "otao_changes", "What operators changed.", "action"),
    ("removed", "otao_removed_rows", "Rows of the database that had been kept for long enough.", "kind"),
    (
        "reconciliations",
        "otao_reconciliations",
        "Reconciliations, by what the broker's store was found to be.",
        "sentinel",
    ),
)
_PLAIN = (
    ("batches", "otao_batches", "Batches of messages that were processed."),
    ("batch_retries", "otao_batch_retries", "Batches that were tried again after a database error."),
    ("repeats", "otao_repeats", "Redelivered messages whose effect was stored before."),
    ("dead_letters", "otao_dead_letters", "Messages that could not be processed."),
    ("foreign_pushes", "otao_foreign_pushes", "Messages of others on push topics."),
    ("answers", "otao_answers", "Answers published."),
    ("pushes", "otao_pushes", "Offers and clears published."),
    ("parked", "otao_pushes_parked", "Pushes that the broker refused."),
    ("mismatches", "otao_mismatches", "Topics that were read back and did not hold what they should."),
    ("deadlines", "otao_timers", "Timers of endpoints that were worked off."),
    ("events", "otao_events", "Events and numbers published over MQTT."),
    ("events_refused", "otao_events_refused", "Those of them that the broker refused."),
    ("events_dropped", "otao_events_dropped", "Events that were not published because there were too many."),
    ("failed_requests", "otao_http_failures", "HTTP requests that ended in an error of ours."),
    ("refused_keys", "otao_api_keys_refused", "API keys that were none."),
    ("retired", "otao_endpoints_put_aside", "Endpoints that were retired because they were silent for too long."),
    ("swept_pages", "otao_swept_pages", "Pages of endpoints that were decided anew after a change."),
)


class _Collector:
    """Reads the numbers when it is asked."""

    def __init__(
        self, tallies: Tallies, link: Callable[[], Mapping[str, int]], gauges: Callable[[], Mapping[str, float]]
    ) -> None:
        """Keep where the numbers are."""
        self._tallies = tallies
        self._link = link
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """All numbers, as families."""
        for attribute, name, text, label in _LABELLED:
            family = CounterMetricFamily(name, text, labels=[label])
            for value, amount in sorted(getattr(self._tallies, attribute).items()):
                family.add_metric([value], amount)
            yield family
        for attribute, name, text in _PLAIN:
            yield CounterMetricFamily(name, text, value=getattr(self._tallies, attribute))
        link = CounterMetricFamily(
            "otao_link_events", "What happened on the connection to the broker.", labels=["event"]
        )
        for event, amount in self._link().items():
            link.add_metric([event], amount)
        yield link
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"otao_{name}", name.replace("_", " "), value=value)


def exposition(
    tallies: Tallies, link: Callable[[], Mapping[str, int]], gauges: Callable[[], Mapping[str, float]]
) -> Callable[[], bytes]:
    """What `/metrics` answers, as a function of nothing.

    `link` gives the connection's event counts by name, `gauges` present values by name.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(tallies, link, gauges))
    return lambda: generate_latest(registry)
