"""YAML, read strictly: what it means, and where it is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli import yaml_texts
from orchestrator.cli.places import FaultError, Node, Place

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture(params=["C", "Python"], autouse=True)
def _either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_texts, "_LOADER", yaml.CSafeLoader if request.param == "C" else yaml.SafeLoader)


def fault(content: bytes | str) -> tuple[int, int, str]:
    with pytest.raises(FaultError) as caught:
        yaml_texts.read(content.encode() if isinstance(content, str) else content)
    place = caught.value.fault.place
    return place.line, place.column, caught.value.fault.reason


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment\n", None),
        ("a: 1.1.0", {"a": "1.1.0"}),
        ("a: 2026-12-01T08:00:00Z\nb: 2026-12-01", {"a": "2026-12-01T08:00:00Z", "b": "2026-12-01"}),
        ("a: ~\nb:\nc: null\nd: ''", {"a": None, "b": None, "c": None, "d": ""}),
        ("[1, -2, 1.5, -.5, 1.0e+3, true, False]", [1, -2, 1.5, -0.5, 1000.0, True, False]),
        ("a: 'yes'\nb: \"012\"\nc: !!str 1.0\nd: ! 5", {"a": "yes", "b": "012", "c": "1.0", "d": "5"}),
        ("a: &x [1]\nb: *x\nc: {d: *x}", {"a": [1], "b": [1], "c": {"d": [1]}}),
        ("a: |\n  two\n  lines\nb: >\n  one\n  line\n", {"a": "two\nlines\n", "b": "one line\n"}),
        ("%YAML 1.1\n---\na: b\n...\n", {"a": "b"}),
        ("\ufeffa: ä❄😀", {"a": "ä❄😀"}),
        ("a: =\nb: <<\n'<<': 1", {"a": "=", "b": "<<", "<<": 1}),
        ('{"a": [1, true, null, "x\\n"], "b": {"c": 1.5}}', {"a": [1, True, None, "x\n"], "b": {"c": 1.5}}),
        ("a: 1e, 2", {"a": "1e, 2"}),
    ],
)
def test_what_a_text_means(text: str, value: object) -> None:
    assert yaml_texts.read(text.encode()).plain() == value


@pytest.mark.parametrize(
    ("content", "line", "column", "word"),
    [
        ("a: [1, 2\n", 2, 1, "no YAML"),
        ("a: b: c", 1, 5, "no YAML"),
        ("ä: 1\nö: 'x\x00'", 2, 6, "U+0000"),
        (b"a: 1\nb: \xff", 2, 4, "no UTF-8"),
        ("a: 1".encode("utf-16"), 1, 1, "no UTF-8"),
        ("a:\n\tb: 1", 2, 1, "tab"),
        ("a: 1\nb: 2\na: 3", 3, 1, "first in line 1"),
        ("a: 1\n---\nb: 2", 2, 1, "second document"),
        ("a: &x [*x]", 1, 8, "inside what it stands for"),
        ("a: &x\n  b: *x", 2, 6, "inside what it stands for"),
        ("a: *x", 1, 4, "anchor &x"),
        ("a: !!python/object:os.system x", 1, 4, "tag"),
        ("a: !!int 3", 1, 4, "tag"),
        ("a: !!set {x}", 1, 4, "tag"),
        ("<<: {a: 1}", 1, 1, "merge keys"),
        ("1.0: 2", 1, 1, "quote it, '1.0'"),
        ("on: 2", 1, 1, "quote it"),
        ("~: 2", 1, 1, "must be a text"),
        ("{a: 1}: 2", 1, 1, "must be a text"),
        ("? [a]\n: 2", 1, 3, "must be a text"),
        ("? {a: 1}\n: 2", 1, 3, "must be a text"),
    ],
)
def test_where_a_text_is_wrong(content: bytes | str, line: int, column: int, word: str) -> None:
    found = fault(content)
    assert found[:2] == (line, column), found
    assert word in found[2]


@pytest.mark.parametrize(
    "scalar",
    [
        "yes",
        "No",
        "on",
        "OFF",
        "012",
        "0x1F",
        "0o17",
        "0b11",
        "1_000",
        "12:30:45",
        "1e3",
        ".inf",
        "-.INF",
        ".nan",
        "9" * 400,
    ],
)
def test_what_readers_of_yaml_take_for_different_things_is_refused(scalar: str) -> None:
    line, column, reason = fault(f"a:\n  b: {scalar}")
    assert (line, column) == (2, 6)
    assert "quote it" in reason
    assert len(reason) < 250


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "a:\n"])
def test_depth_is_bounded(opening: str) -> None:
    text = opening * 100_000 if opening != "a:\n" else "".join(f"{' ' * level}a:\n" for level in range(100))
    assert "nested more than 60 deep" in fault(text)[2]


def test_depth_by_aliases_is_bounded() -> None:
    nested = "a: &a " + "[" * 40 + "1" + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40
    assert fault(nested)[2] == "nested more than 60 deep"


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"{chr(c)}: &{chr(c)} [{','.join([f'*{chr(c - 1)}'] * 10)}]" for c in range(98, 120)]
    assert fault("\n".join(lines))[2].startswith("more than 100000 values")


def test_size_is_bounded_before_anything_is_parsed() -> None:
    assert fault(b"[" * (yaml_texts.MOST_BYTES + 1)) == (1, 1, "larger than 1048576 bytes")


def test_values_know_their_places() -> None:
    root = yaml_texts.read(b"a:\n  - x\n  - {b: 'c'}\n")
    assert isinstance(root.value, dict)
    assert root.value["a"].place == Place(line=1, column=1)
    listed = root.value["a"].node.value
    assert isinstance(listed, list)
    assert [node.place for node in listed] == [Place(line=2, column=5), Place(line=3, column=5)]
    assert root.size == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_pyyaml_writes_is_read_as_it_was_or_refused_by_name(value: object) -> None:
    # Escaped: PyYAML itself does not read back line breaks beyond ASCII that it wrote unescaped.
    text = yaml.safe_dump(value, allow_unicode=False)
    try:
        node = yaml_texts.read(text.encode())
    except FaultError:
        return
    assert same(node.plain(), value)


def same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        node = yaml_texts.read(content)
    except FaultError:
        return
    json.dumps(node.plain(), allow_nan=False).encode()


@given(st.lists(st.sampled_from(list("{}[]:,-?&*!|>'\"%@#\n\t abc01.~<=")), max_size=40))
def test_any_signs_are_read_or_refused(signs: Sequence[str]) -> None:
    try:
        node = yaml_texts.read("".join(signs).encode())
    except FaultError:
        return
    assert isinstance(node, Node)
    json.dumps(node.plain(), allow_nan=False).encode()
