"""Nothing that is committed depends on the machine it was written on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, committed

# Brackets keep these patterns from finding themselves.
HOSTS = re.compile(
    r"files\.pythonhoste[d]\.org|pypi\.org/[s]imple|test\.pypi\.[o]rg|registry\.npmj[s]\.org|registry\.yarnpk[g]"
)
INDEXES = re.compile(r"--(?:extra-)?index-[u]rl|--find-[l]inks|\bextra-index-[u]rl\b|\"resolve[d]\":")
LOCAL_PATHS = re.compile(r"file:/[/]|(?<![\w.~-])/(?:roo[t]|hom[e]|User[s])/\w")

MENTIONS = {"script/lock": INDEXES}
"""Files that may match a pattern: the locking script names the options that keep indexes out."""


def this_machine() -> re.Pattern[str]:
    """Match the checkout's own folder, unless that is too short to mean anything elsewhere."""
    return re.compile(re.escape(str(ROOT)) + r"\b" if len(ROOT.parts) > 2 else r"(?!)")


def offences(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in committed():
        name = path.relative_to(ROOT).as_posix()
        if MENTIONS.get(name) is pattern:
            continue
        # Bytes that are no UTF-8 cannot hide an ASCII name.
        text = path.read_bytes().decode(errors="replace")
        found += [f"{name}:{text.count(chr(10), 0, match.start()) + 1} {match[0]}" for match in pattern.finditer(text)]
    return found


@pytest.mark.parametrize(
    "pattern", [HOSTS, INDEXES, LOCAL_PATHS, this_machine()], ids=["hosts", "indexes", "paths", "here"]
)
def test_no_committed_file_names_a_package_registry_or_a_place_of_one_machine(pattern: re.Pattern[str]) -> None:
    assert offences(pattern) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (HOSTS, "https://registry.npmj" + "s.org/mqtt/-/mqtt.tgz"),
        (HOSTS, "https://files.python" + "hosted.org/packages/"),
        (INDEXES, "--extra-index" + "-url x"),
        (INDEXES, '"resol' + 'ved": "x"'),
        (LOCAL_PATHS, "at /ho" + "me/somebody/otao"),
        (LOCAL_PATHS, "file:" + "///tmp"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize("text", ["https://example.org/home/page", "GET /homes/1", "$HOME/otao"])
def test_an_address_is_no_local_path(text: str) -> None:
    assert not LOCAL_PATHS.search(text)


def test_no_committed_file_is_a_link_out_of_the_repository() -> None:
    links = [path for path in committed() if path.is_symlink()]
    assert [path for path in links if not Path(path).resolve().is_relative_to(ROOT)] == []
