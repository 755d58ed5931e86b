from importlib import metadata

from orchestrator.application import products


def test_the_version_is_that_of_the_distribution() -> None:
    assert products.version() == metadata.version("otao")
