from __future__ import annotations

from orchestrator import links, settings


def test_endpoints_and_operators_have_sessions_and_subscriptions_of_their_own() -> None:
    loaded = settings.load({})
    endpoints = links.for_endpoints(loaded, "a1b2", "main")._options
    operators = links.for_operators(loaded, "a1b2", "main")._options
    assert (endpoints.client_id, operators.client_id) == ("otao-a1b2-main", "otao-a1b2-operators")
    assert {item.topic_filter for item in endpoints.subscriptions} == {
        "kp1/+/cmx_ota/+/#",
        "kp1/+/cmx/+/#",
        "kp1/+/epmx/+/#",
        "otao/v1/partition/main/marker",
    }
    assert [(item.topic_filter, item.echo) for item in operators.subscriptions] == [("otao/v1/+/control/#", False)]


def test_of_several_partitions_all_but_main_give_up_hearing_every_command() -> None:
    loaded = settings.load({})
    left = ["otao/v1/kettle/control/#"]
    main, other = (links.for_operators(loaded, "a1b2", name, covered=[], left=left)._options for name in ("main", "p2"))
    assert (main.unwanted, other.unwanted) == ((*left,), ("otao/v1/+/control/#", *left))


def test_what_a_partition_once_heard_is_given_up() -> None:
    options = links.for_endpoints(settings.load({}), "a1b2", "p2", covered=[], left=["kp1/c/epmx/+/#"])._options
    assert options.unwanted == ("kp1/+/cmx_ota/+/#", "kp1/+/cmx/+/#", "kp1/+/epmx/+/#", "kp1/c/epmx/+/#")


def test_only_the_connection_that_people_watch_has_a_will() -> None:
    loaded = settings.load({"mqtt_client_id": "fleet"})
    endpoints = links.for_endpoints(loaded, "a1b2", "main")._options
    operators = links.for_operators(loaded, "a1b2", "main")._options
    assert (endpoints.client_id, endpoints.will) == ("fleet-main", None)
    assert operators.client_id == "fleet-operators"
    assert operators.will is not None
    assert operators.will.topic == "otao/v1/service/a1b2"
    assert operators.receive_maximum < operators.inbox_limit


def test_what_is_subscribed_to_is_told_apart_by_broker_session_and_names() -> None:
    given = {"mqtt_url": "mqtt://otao:secret@broker:1883"}
    digest = links.digest(settings.load(given), "a1b2", "main")
    assert links.digest(settings.load({"mqtt_url": "mqtt://otao:changed@broker"}), "a1b2", "main") == digest
    assert 0 <= digest < 2**63
    others = [
        links.digest(settings.load(given | {"software_instance": "ota2"}), "a1b2", "main"),
        links.digest(settings.load(given | {"mqtt_client_id": "fleet"}), "a1b2", "main"),
        links.digest(settings.load({"mqtt_url": "mqtt://other:1883"}), "a1b2", "main"),
        links.digest(settings.load(given), "a1b2", "p2"),
    ]
    assert len({digest, *others}) == 5


def test_a_session_is_subscribed_in_anew_only_where_something_else_was_subscribed_to_in_it_last() -> None:
    loaded = settings.load({})
    digest = links.digest(loaded, "a1b2", "main")
    for subscribed, renewed in ((None, True), (digest + 1, True), (digest, False)):
        assert links.for_endpoints(loaded, "a1b2", "main", subscribed=subscribed)._options.renewed is renewed
