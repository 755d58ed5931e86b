"""The text of a filter expression, read into a tree: a subset of CEL.

Rules:
- What is not in the language is refused with its column, counted from 1; what CEL has and this has not, by its name.
- Length, nesting and terms are bounded, and the work is linear in the length: no text is costly to refuse.

Spec: CEL language definition, "Syntax".
Layer: orchestrator.domain; pure. This module alone knows lark.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lark import Lark, Token, UnexpectedInput, UnexpectedToken

from orchestrator.domain.pieces import Condition, FilterSyntaxError
from orchestrator.domain.readings import Reader

if TYPE_CHECKING:
    from orchestrator.domain.expressions import Expression

MAX_CHARACTERS = 4096
MAX_DEPTH = 32
MAX_TERMS = 200
MAX_ITEMS = 500
"""Of a list."""

_GRAMMAR = r"""
start: disjunction

?disjunction: conjunction (OR conjunction)*
?conjunction: relation (AND relation)*
?relation: unary
         | unary COMPARE unary -> comparison
         | unary IN unary -> membership
?unary: member
      | NOT unary -> negation
      | MINUS unary -> minus
?member: primary
       | member DOT NAME -> selection
       | member DOT NAME OPEN [arguments] CLOSE -> method
       | member OPEN_LIST disjunction CLOSE_LIST -> index
?primary: NAME -> variable
        | NAME OPEN [arguments] CLOSE -> function
        | OPEN disjunction CLOSE -> group
        | OPEN_LIST [arguments] CLOSE_LIST -> listing
        | TEXT -> text
        | HEXADECIMAL -> integer
        | INTEGER -> integer
        | DOUBLE -> double
        | TRUE -> boolean
        | FALSE -> boolean
arguments: disjunction (COMMA disjunction)* COMMA?

OR: "||"
AND: "&&"
NOT: "!"
COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
MINUS: "-"
DOT: "."
COMMA: ","
OPEN: "("
CLOSE: ")"
OPEN_LIST: "["
CLOSE_LIST: "]"
IN.2: /in(?![A-Za-z0-9_])/
TRUE.2: /true(?![A-Za-z0-9_])/
FALSE.2: /false(?![A-Za-z0-9_])/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
TEXT: /'(?:[^'\\\r\n]|\\[^\r\n])*'|"(?:[^"\\\r\n]|\\[^\r\n])*"/
DOUBLE.3: /[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+/
HEXADECIMAL.2: /0[xX][0-9A-Fa-f]+/
INTEGER: /[0-9]+/
COMMENT: /\/\/[^\n]*/
BLANK: /[ \t\r\n\f]+/
%ignore COMMENT
%ignore BLANK
"""

_ARITHMETIC = "arithmetic is not in this language"
_CONDITIONAL = "the conditional operator (? :) is not in this language"
_MESSAGE = "maps and messages are not in this language"
_OPEN_TEXT = "this text does not end on its line"
_CHARACTERS = {
    "?": _CONDITIONAL,
    ":": _CONDITIONAL,
    **dict.fromkeys("+*/%", _ARITHMETIC),
    **dict.fromkeys("{}", _MESSAGE),
    **dict.fromkeys("'\"", _OPEN_TEXT),
    "=": "'=' is no operator; '==' compares",
    "&": "'&' is no operator; '&&' joins",
    "|": "'|' is no operator; '||' joins",
}
_TOKENS = {
    "MINUS": _ARITHMETIC,
    "COMPARE": "comparisons cannot be chained; join them by '&&'",
    "IN": "comparisons cannot be chained; join them by '&&'",
}
_OPENERS = frozenset({"OPEN", "OPEN_LIST"})
_CLOSERS = frozenset({"CLOSE", "CLOSE_LIST"})
_PREFIXES = frozenset({"NOT", "MINUS"})
_JOINS = frozenset({"AND", "OR"})
_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
_OPERANDS = frozenset({"NAME", "TEXT", "INTEGER", "DOUBLE", "HEXADECIMAL", "TRUE", "FALSE"})


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        FilterSyntaxError: it is empty, beyond a limit, or not in the language.
    """
    if len(text) > MAX_CHARACTERS:
        raise FilterSyntaxError(MAX_CHARACTERS + 1, f"longer than {MAX_CHARACTERS} characters")
    watch = _Watch()
    try:
        steps = _parser().parse_interactive(text)
        for token in steps.iter_parse():
            watch.take(token)
        read: Condition = steps.feed_token(Token("$END", ""))
    except UnexpectedInput as error:
        raise _refusal(error, text) from None
    return read.expression


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="basic", transformer=Reader(), keep_all_tokens=True)


class _Watch:
    """Looks at token by token, so that what is beyond a limit is refused before the rest of it is read.

    It also finds macros: they are refused before their variable is, which is no name here.
    """

    def __init__(self) -> None:
        self._open: list[int] = []
        """Per bracket that is open, how much deeper it lies than the one around it."""
        self._items: list[int] = [0]
        """Commas so far, per bracket and outside of all."""
        self._depth = 0
        self._prefixes = 0
        self._joins = 0
        self._before: Token | None = None

    def take(self, token: Token) -> None:
        self._count(token)
        if self._depth + self._prefixes > MAX_DEPTH:
            raise FilterSyntaxError(_column(token), f"nested more than {MAX_DEPTH} deep")
        before, self._before = self._before, token
        if before is None:
            return
        if token.type == "OPEN" and before in _MACROS:
            raise FilterSyntaxError(_column(before), f"{before}() is a macro; macros are not in this language")
        # As many terms as there are operators that join them, and one.
        if before.type in _JOINS and self._joins >= MAX_TERMS:
            raise FilterSyntaxError(_column(token), f"more than {MAX_TERMS} terms")
        if before.type == "COMMA" and self._items[-1] >= MAX_ITEMS and token.type not in _CLOSERS:
            raise FilterSyntaxError(_column(token), f"a list has at most {MAX_ITEMS} items")

    def _count(self, token: Token) -> None:
        if token.type in _PREFIXES:
            self._prefixes += 1
            return
        if token.type in _OPENERS:
            self._open.append(self._prefixes + 1)
            self._items.append(0)
            self._depth += self._prefixes + 1
        elif token.type in _CLOSERS and self._open:
            self._depth -= self._open.pop()
            self._items.pop()
        self._prefixes = 0
        self._joins += token.type in _JOINS
        self._items[-1] += token.type == "COMMA"


def _column(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _refusal(error: UnexpectedInput, text: str) -> FilterSyntaxError:
    if not isinstance(error, UnexpectedToken):
        at = int(getattr(error, "pos_in_stream", 0))
        return FilterSyntaxError(at + 1, _CHARACTERS.get(text[at], f"{text[at]!r} is not in this language"))
    token = error.token
    if token.type == "$END":
        return FilterSyntaxError(len(text) + 1, f"the expression ends where {_expected(error)} has to be")
    at = token.start_pos or 0
    adjacent = text[at - 1] if at else " "
    if token.type == "NAME" and adjacent.isdigit():
        return FilterSyntaxError(at + 1, "a number ends here; unsigned ones (1u) are not in this language")
    if token.type == "TEXT" and adjacent.isalnum():
        return FilterSyntaxError(at + 1, "raw texts and bytes are not in this language")
    reason = _TOKENS.get(token.type, f"{str(token)!r} stands where {_expected(error)} has to be")
    return FilterSyntaxError(at + 1, reason)


def _expected(error: UnexpectedToken) -> str:
    if error.expected & _OPERANDS >= {"TEXT"}:
        return "a value"
    if error.expected >= {"NAME"}:
        return "a name"
    return "an operator or the end" if "$END" in error.expected else "an operator or a closing bracket"
