"""What a real service shows at `/metrics` is what the page of metrics has."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests import databases
from tests.architecture.pages import REFERENCE, named, rows, section
from tests.brokers import Mosquitto
from tests.services import Service, connect, topic


def shown(text: str) -> dict[str, str]:
    """Types by the names of samples; those without a sample yet are among them."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family.type
        for family in text_string_to_metric_families(text)
    }


async def test_a_service_shows_the_metrics_of_the_page_and_no_others() -> None:
    listed = {named(cells[0])[0]: cells[1] for cells in rows((REFERENCE / "metrics.md").read_text())}
    of_replicas = {named(cells[0])[0] for cells in rows(section("metrics.md", "## Replicas"))}
    absent = set() if databases.ON_POSTGRESQL else of_replicas
    async with Mosquitto(tokens=["tok1"]) as broker, Service(broker) as service, connect(broker, "tok1") as client:
        await service.define()
        await client.publish(topic("tok1", "applied/json/1"), b'{"configId":"1.0.0"}', qos=1)
        await service.until_offered("tok1", "1.1.0")
        assert await service.metric('otao_messages_accepted_total{resource="applied/json"}') == 1
        async with service.client() as http:
            found = shown((await http.get("/metrics")).text)
    assert found == {name: kind for name, kind in listed.items() if name.startswith("otao_") and name not in absent}
