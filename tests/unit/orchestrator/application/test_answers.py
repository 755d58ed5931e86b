from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import answers
from orchestrator.application.answers import Answer
from orchestrator.application.directory import Directory
from protocol.links import Outbound
from tests.contract.storages import APP, entry_of
from tests.unit.orchestrator.domain.builders import general, recalled, suspended, v

if TYPE_CHECKING:
    from orchestrator.domain.software import Software

MESSAGE = Outbound(topic="kp1/kettle-v1/cmx_ota/tok/config/json/7/status", payload=b"offer", qos=0)
NOTHING = b'{"configId":"","config":null}'
OFFER = Answer(message=MESSAGE, application=1, version=v("1.1.0"))


def directory(*software: Software) -> Directory:
    return Directory([entry_of(replace(APP, key=1), software)])


def test_an_answer_without_an_offer_goes_as_it_is() -> None:
    answer = Answer(message=MESSAGE)
    assert answers.current(answer, Directory()) is MESSAGE


def test_an_offer_that_still_stands_goes_as_it_is() -> None:
    assert answers.current(OFFER, directory(general("1.1.0"))) is MESSAGE


@pytest.mark.parametrize(
    "software", [[], [suspended("1.1.0")], [recalled("1.1.0")], [general("1.1.0", given=False)], [general("1.2.0")]]
)
def test_an_offer_that_was_stopped_in_between_becomes_nothing(software: list[Software]) -> None:
    assert answers.current(OFFER, directory(*software)) == replace(MESSAGE, payload=NOTHING)


def test_an_offer_of_an_application_that_is_gone_becomes_nothing() -> None:
    assert answers.current(OFFER, Directory()).payload == NOTHING


def test_a_started_install_outlives_a_suspension_but_no_recall() -> None:
    started = replace(OFFER, started=True)
    assert answers.current(started, directory(suspended("1.1.0"))) is MESSAGE
    assert answers.current(started, directory(recalled("1.1.0"))).payload == NOTHING
