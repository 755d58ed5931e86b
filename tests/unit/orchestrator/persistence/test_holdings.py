from __future__ import annotations

from orchestrator.persistence import holdings, schema


def test_what_partitions_have_in_common_is_kept_by_name() -> None:
    keys = {
        table.name: [column.name for column in table.primary_key]
        for table in (holdings.lease, holdings.replica, holdings.place)
    }
    assert keys == {"lease": ["partition"], "replica": ["name"], "place": ["kind", "name"]}
    assert keys.keys() < schema.metadata.tables.keys()
