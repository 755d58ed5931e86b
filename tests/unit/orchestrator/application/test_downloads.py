"""Which links are looked at, and what is said of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import downloads
from orchestrator.application.downloads import Download, read
from tests.unit.orchestrator.domain.builders import v

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGEST = "ab" * 32


@dataclass
class Far:
    """Far ends by link."""

    faults: Mapping[str, str] = field(default_factory=dict)
    at_once: int = 0
    most_at_once: int = 0
    stuck: bool = False

    async def fault(self, download: Download) -> str | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await (asyncio.Event().wait() if self.stuck else asyncio.sleep(0))
        self.at_once -= 1
        return self.faults.get(download.link)


@pytest.mark.parametrize(
    ("specification", "expected"),
    [
        ('{"link":"https://a/b"}', Download(link="https://a/b", size_bytes=None, sha256=None)),
        (
            f'{{"link":"HTTP://a","size":7,"sha256":"{DIGEST.upper()}"}}',
            Download(link="HTTP://a", size_bytes=7, sha256=DIGEST),
        ),
        ('{"link":"http://a","size":true,"sha256":"short"}', Download(link="http://a", size_bytes=None, sha256=None)),
        ('{"link":"http://a","size":-1,"sha256":5}', Download(link="http://a", size_bytes=None, sha256=None)),
        ('{"link":"ftp://a"}', None),
        ('{"link":["http://a"]}', None),
        ('"http://a"', None),
        ('{"link":1e999}', None),
    ],
)
def test_what_a_specification_names_is_read(specification: str, expected: Download | None) -> None:
    assert read(specification) == expected


async def test_each_version_is_spoken_of_in_order_and_no_link_is_quoted() -> None:
    far = Far(faults={"https://x/secret": "answers 404"})
    found = await downloads.check(
        far,
        [
            (v("3.0.0"), '{"link":"https://x/secret"}'),
            (v("1.0.0"), None),
            (v("2.0.0"), '{"nothing":1}'),
            (v("4.0.0"), f'{{"link":"https://y","sha256":"{DIGEST}"}}'),
        ],
    )
    assert found == [
        "3.0.0: its link answers 404",
        "3.0.0: its specification has no sha256 to compare",
        "2.0.0: its specification has no link of http or https: nothing was checked",
    ]
    assert "secret" not in repr(read('{"link":"https://x/secret"}'))


async def test_only_a_few_are_looked_at_at_once() -> None:
    far = Far()
    await downloads.check(far, [(v(f"1.{minor}.0"), '{"link":"https://x"}') for minor in range(20)])
    assert far.most_at_once == 4


async def test_all_share_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SECONDS", 0.01)
    found = await downloads.check(Far(stuck=True), [(v(f"1.{minor}.0"), '{"link":"https://x"}') for minor in range(9)])
    assert found == [f"1.{minor}.0: its link was not checked in time" for minor in range(9)]
