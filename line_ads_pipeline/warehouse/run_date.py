"""The parameter `:run_date` of a query, replaced by a date and by nothing else; others are refused."""

import re
from collections.abc import Iterable
from datetime import date

from line_ads_pipeline.warehouse.errors import QueryFailed
from line_ads_pipeline.warehouse.sql_text import Lexis, Token

_NAME = "run_date"
_COLON, _QUESTION = Token("mark", ":"), Token("mark", "?")
_FORM = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ENDS_A_VALUE = frozenset(")]}")
_BEFORE_A_VALUE = re.compile(
    r"[(,=<>+/%-]|SELECT|DISTINCT|WHERE|AND|OR|NOT|BETWEEN|I?LIKE|IN|ON|WHEN|THEN|ELSE|CASE|HAVING|LIMIT",
    re.IGNORECASE,
)
_AFTER_A_VALUE = re.compile(
    r"[),;]|AND|OR|AS|IS|THEN|ELSE|END|WHEN|FROM|WHERE|GROUP|ORDER|HAVING|LIMIT|UNION|INTERSECT|EXCEPT",
    re.IGNORECASE,
)


def with_run_date(query: str, run_date: str | None, *, lexis: Lexis, literal: str = "DATE '{}'") -> str:
    """Give a query in which the date literal stands for each `:run_date`.

    A colon belongs to a parameter where a value may begin: not within quotes and comments, not right behind a value
    (`column:run_date` is a path in Snowflake, `::` a cast), and not within the brackets of a slice. Another parameter is
    refused where it can be nothing else: behind an operator or a keyword, and `?`, which PostgreSQL has as an operator,
    only if no operand follows.

    Args:
        query: As the audience file has it.
        run_date: `YYYY-MM-DD`.
        lexis: The spelling of the database.
        literal: How the database writes a date, with `{}` in place of the day.

    Raises:
        QueryFailed: The query takes a run date and there is none, or it is no date, or it has other parameters.
    """
    tokens = list(lexis.tokens(query))
    places = [at for at in range(1, len(tokens)) if _is_run_date(tokens, at)]
    if any(_is_unknown(tokens, at) for at in range(len(tokens)) if at + 1 not in places):
        raise has_parameters()
    if not places:
        return query
    if run_date is None:
        raise QueryFailed(
            "`query` takes the parameter :run_date, and there is no run date here. Write the date, or run it for a run date."
        )
    texts = [token.text for token in tokens]
    for at in places:
        texts[at - 1] = ""
        texts[at] = literal.format(checked_date(run_date))
    return "".join(texts)


def has_parameters() -> QueryFailed:
    """The error that a query has parameters that nothing is given for."""
    return QueryFailed(
        "`query` has parameters (?, :name or $name), which are not supported. Write the values; :run_date is the run date."
    )


def checked_date(text: str) -> str:
    """Give back a date of the form `YYYY-MM-DD`.

    Raises:
        QueryFailed: It is of another form, or no day of the calendar.
    """
    if _FORM.fullmatch(text):
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            pass
    raise QueryFailed("The run date is no date of the form YYYY-MM-DD.")


def _is_run_date(tokens: list[Token], at: int) -> bool:
    if tokens[at].kind != "word" or tokens[at].text.casefold() != _NAME or tokens[at - 1] != _COLON:
        return False
    before = tokens[at - 2] if at > 1 else None
    if before is not None and _ends_a_value(before):
        return False
    return not _within_subscript(tokens[: at - 1])


def _is_unknown(tokens: list[Token], at: int) -> bool:
    if tokens[at] not in {_COLON, _QUESTION} or at == 0 or _ends_a_value(tokens[at - 1]):
        return False
    before, after = _code(reversed(tokens[:at])), _code(tokens[at + 1 :])
    if before is None or not _BEFORE_A_VALUE.fullmatch(before.text):
        return False
    if tokens[at] == _QUESTION:
        return after is None or _AFTER_A_VALUE.fullmatch(after.text) is not None
    is_named = after is not None and after.kind == "word" and after is tokens[at + 1]
    return is_named and not _within_subscript(tokens[:at])


def _code(tokens: Iterable[Token]) -> Token | None:
    return next((token for token in tokens if token.kind != "space"), None)


def _ends_a_value(token: Token) -> bool:
    return token.kind in {"word", "quoted"} or token.text in _ENDS_A_VALUE


def _within_subscript(tokens: list[Token]) -> bool:
    """Whether the innermost bracket is `value[`, which a slice may follow, and not a list of values."""
    depth = 0
    for at in range(len(tokens) - 1, -1, -1):
        if tokens[at].kind != "mark":
            continue
        depth += (tokens[at].text in ")]}") - (tokens[at].text in "([{")
        if depth < 0:
            before = _code(reversed(tokens[:at]))
            return (
                tokens[at].text == "["
                and before is not None
                and _ends_a_value(before)
                and before.text.upper() != "ARRAY"
            )
    return False
