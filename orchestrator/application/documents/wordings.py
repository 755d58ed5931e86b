"""What is said of a value that a body does not take: what it has to be instead, in words of people.

Rules:
- A sentence follows on the path of the member, and never repeats the value.
- What is not known here is said as pydantic says it.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, WrapValidator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidatorFunctionWrapHandler

_SENTENCES = {
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} item",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
}
"""By pydantic's name of what is wrong."""
_BOUNDS = frozenset({"greater_than", "greater_than_equal", "less_than_equal", "string_pattern_mismatch"})


def of(kind: str, context: Mapping[str, Any], message: str) -> str:
    """The sentence for what pydantic calls `kind`; `message` is its own."""
    sentence = _SENTENCES.get(kind)
    return message.removeprefix("Value error, ") if sentence is None else sentence.format(**context)


def beyond(sentence: str) -> WrapValidator:
    """Say this sentence of values that are beyond the bounds of a type, or do not match its pattern."""

    def read(value: object, inner: ValidatorFunctionWrapHandler) -> object:
        try:
            return inner(value)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False)[0]["type"] in _BOUNDS:
                raise ValueError(sentence) from None
            raise

    return WrapValidator(read)
