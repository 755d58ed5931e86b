from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.persistence.dictionaries import Dictionary, Names, add_versions
from tests.contract.storages import APP
from tests.unit.orchestrator.domain.builders import general, v
from tests.unit.orchestrator.persistence.statements import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


def filled() -> Dictionary:
    dictionary = Dictionary(applications={1: "kettle", 2: "toaster"})
    for number, application, text in ((1, 1, "1.0.0"), (2, 1, "1.0.0+a"), (3, 2, "1.0.0")):
        dictionary.add_version(number, application, v(text))
    dictionary.add_app_version(1, 1, "kettle-v1")
    dictionary.add_app_version(2, 2, "toaster-v1")
    return dictionary


def test_versions_have_numbers_by_application_and_text() -> None:
    dictionary = filled()
    assert [dictionary.number(1, v("1.0.0")), dictionary.number(1, v("1.0.0+a")), dictionary.number(2, v("1.0.0"))] == [
        1,
        2,
        3,
    ]
    assert str(dictionary.version(2)) == "1.0.0+a"


def test_zero_is_no_version() -> None:
    assert Dictionary().version(0) is None
    assert Dictionary().number(1, None) == 0


def test_unknown_versions_are_told_once_each() -> None:
    wanted = [(1, v("1.0.0")), (1, v("2.0.0")), (2, v("2.0.0")), (1, v("2.0.0")), (1, v("2.0.0+b"))]
    unknown = [(application, version.text) for application, version in filled().unknown(wanted)]
    assert unknown == [(1, "2.0.0"), (2, "2.0.0"), (1, "2.0.0+b")]


def test_an_application_is_forgotten_with_every_name_that_it_had() -> None:
    dictionary = filled()
    dictionary.forget_application(1)
    assert dictionary.applications == {2: "toaster"}
    assert dictionary.versions == {3: v("1.0.0")}
    assert dictionary.version_ids == {(2, "1.0.0"): 3}
    assert dictionary.app_version_ids == {"toaster-v1": 2}
    assert dictionary.app_versions == {2: (2, "toaster-v1")}


CHANGES: dict[str, Callable[[Dictionary], None]] = {
    "a version more": lambda dictionary: dictionary.add_version(4, 1, v("2.0.0")),
    "a version less": lambda dictionary: dictionary.forget_version(1, v("1.0.0+a")),
    "an application version more": lambda dictionary: dictionary.add_app_version(3, 1, "kettle-v2"),
    "an application version less": lambda dictionary: dictionary.forget_app_version("kettle-v1"),
    "no application": lambda dictionary: dictionary.forget_application(1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_names_are_the_same_object_until_one_of_them_changes(change: Callable[[Dictionary], None]) -> None:
    dictionary = filled()
    before, others = dictionary.names(1), dictionary.names(2)
    assert before == Names(versions={1: v("1.0.0"), 2: v("1.0.0+a")}, app_versions={1: "kettle-v1"})
    assert dictionary.names(1) is before
    change(dictionary)
    assert dictionary.names(1) != before
    assert dictionary.names(2) is others


def test_an_unknown_version_is_forgotten_without_a_change() -> None:
    dictionary = filled()
    before = dictionary.names(1)
    dictionary.forget_version(1, v("9.0.0"))
    assert dictionary.names(1) is before
    assert dictionary == filled()


async def test_new_versions_are_numbered_by_two_statements(shelf: SqlShelf, entry: Entry) -> None:
    key = entry.application.key
    async with counted(shelf) as statements, shelf.storage.transaction() as transaction:
        added = await add_versions(transaction._connection, [(key, v(f"9.{number}.0")) for number in range(300)])
        assert await add_versions(transaction._connection, []) == []
    assert len(statements) == 2
    numbers = [number for number, _, _ in added]
    assert len(set(numbers)) == 300
    assert not set(numbers) & shelf.storage._dictionary.versions.keys()


async def test_what_is_loaded_is_what_was_stored(shelf: SqlShelf, entry: Entry) -> None:
    await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)), [general("7.0.0")])
    loaded = Dictionary()
    async with shelf.storage.reading() as connection:
        await loaded.load(connection)
        before = loaded.names(entry.application.key)
        await loaded.load(connection)
    assert loaded.names(entry.application.key) is not before
    assert loaded == shelf.storage._dictionary
    assert loaded.applications[entry.application.key] == "kettle"
