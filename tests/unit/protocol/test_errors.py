from __future__ import annotations

import inspect

from protocol import errors
from protocol.errors import MessageError, ProtocolError, UnknownMemberError, quoted

CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, ProtocolError)]


def test_each_error_has_a_code_of_its_own_in_kebab_case() -> None:
    codes = [found.code for found in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and "_" not in code and " " not in code for code in codes)


def test_each_error_is_in_the_tree_of_the_module_docstring() -> None:
    assert all(found.__name__ in (errors.__doc__ or "") for found in CLASSES)


def test_refusals_carry_a_client_error_status() -> None:
    assert {found.status_code for found in CLASSES if issubclass(found, MessageError)} == {400, 404, 413}


def test_a_reason_quotes_foreign_text_short_and_printable() -> None:
    reason = UnknownMemberError("\ud800\n" + "x" * 5000).reason
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) < 150
    assert quoted("short") == "'short'"
