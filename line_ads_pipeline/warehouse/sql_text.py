"""SQL as its author wrote it, taken apart far enough to tell code from literals, names and comments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from line_ads_pipeline.warehouse.errors import QueryFailed

Kind = Literal["word", "space", "quoted", "open", "mark"]

_BEGINS = frozenset({"SELECT", "WITH", "VALUES", "FROM", "TABLE", "("})
_OPENING, _CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class Token:
    """A piece of SQL.

    Attributes:
        kind: `word` a bare name, keyword or number; `space` white space or a comment; `quoted` a literal or a quoted
            name; `open` one of these that never ends; `mark` anything else.
        text: As it stands in the SQL.
    """

    kind: Kind
    text: str


@dataclass(frozen=True, kw_only=True)
class Lexis:
    """What of SQL's spelling differs between databases.

    Attributes:
        name_quotes: Characters that surround a quoted name; `[` is closed by `]`.
        text_quotes: Characters that surround a text.
        backslash: Whether a backslash in a text escapes what follows: always, after `E` only, or never.
        triple_quotes: Whether three quotes surround a text, too.
        dollar: A regular expression of what opens and closes a text in dollars; empty where there is none.
        line_comments: What begins a comment that ends with its line.
        nested_comments: Whether a comment may hold another.
    """

    name_quotes: str = '"'
    text_quotes: str = "'"
    backslash: Literal["always", "after E", "never"] = "never"
    triple_quotes: bool = False
    dollar: str = ""
    line_comments: tuple[str, ...] = ("--",)
    nested_comments: bool = False

    def tokens(self, sql: str) -> Iterator[Token]:
        """Take a text apart; the tokens' texts together are the text again."""
        at = 0
        while at < len(sql):
            token = self._token(sql, at)
            yield token
            at += len(token.text)

    def _token(self, sql: str, at: int) -> Token:
        if sql.startswith("/*", at):
            return self._comment(sql, at)
        for kind, opening, whole in self._patterns:
            if match := whole.match(sql, at):
                return Token(kind, match[0])
            if opening is not None and opening.match(sql, at):
                return Token("open", sql[at:])
        return Token("mark", sql[at])

    def _comment(self, sql: str, at: int) -> Token:
        depth = 0
        for match in re.compile(r"/\*|\*/").finditer(sql, at):
            if match[0] == "*/":
                depth -= 1
            elif depth == 0 or self.nested_comments:
                depth += 1
            if depth == 0:
                return Token("space", sql[at : match.end()])
        return Token("open", sql[at:])

    @cached_property
    def _patterns(self) -> tuple[tuple[Kind, re.Pattern[str] | None, re.Pattern[str]], ...]:
        """Of each kind of token how it opens, if it can remain open, and how it looks as a whole."""
        line = "|".join(re.escape(mark) for mark in self.line_comments)
        found: list[tuple[Kind, str | None, str]] = [("space", None, rf"\s+|(?:{line})[^\n]*")]
        if self.dollar:
            found.append(("quoted", rf"(?<!\w){self.dollar}", rf"(?<!\w)({self.dollar})(?s:.*?)\1"))
        escaped = r"(?:[^{0}\\]|\\.|{0}{0})*"
        plain = r"(?:[^{0}]|{0}{0})*"
        for quote in self.text_quotes:
            if self.triple_quotes:
                found.append(("quoted", quote * 3, rf"{quote * 3}(?s:\\.|[^\\])*?{quote * 3}"))
            if self.backslash == "after E":
                found.append(("quoted", f"[eE]{quote}", f"[eE]{quote}(?s:{escaped.format(quote)}){quote}"))
            body = escaped if self.backslash == "always" else plain
            found.append(("quoted", quote, f"{quote}(?s:{body.format(quote)}){quote}"))
        for quote in self.name_quotes:
            whole = r"\[[^\]]*\]" if quote == "[" else f"{quote}{plain.format(quote)}{quote}"
            found.append(("quoted", re.escape(quote), whole))
        found += [("word", None, r"[\w$]+" if not self.dollar else r"\w[\w$]*"), ("mark", None, r"::|:=")]
        return tuple(
            (kind, None if opening is None else re.compile(opening), re.compile(whole))
            for kind, opening, whole in found
        )


def one_select(query: str, lexis: Lexis) -> str:
    """Give the text of the one SELECT that a query is, to be put between parentheses on lines of its own.

    Whether it is valid, the database tells. This makes sure that it cannot leave its parentheses.

    Raises:
        QueryFailed: It is empty, something else or more than one statement, or a literal, a comment or a
            parenthesis remains open.
    """
    tokens = list(lexis.tokens(query))
    if any(token.kind == "open" for token in tokens):
        raise QueryFailed(
            "`query` is not valid: a quote or a comment in it is not closed. Correct it in the audience file."
        )
    while tokens and (tokens[-1].kind == "space" or tokens[-1].text == ";"):
        tokens.pop()
    code = [token for token in tokens if token.kind != "space"]
    if not code or code[0].text.upper() not in _BEGINS or any(_is_end(token) for token in code):
        raise QueryFailed("`query` must be one SELECT statement (WITH and VALUES may begin it too).")
    depth = 0
    for token in code:
        if token.kind == "mark":
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
        if depth < 0:
            break
    if depth:
        raise QueryFailed(
            "`query` is not valid: its parentheses do not match. Correct it in the audience file."
        )
    return "".join(token.text for token in tokens)


def _is_end(token: Token) -> bool:
    return token.kind == "mark" and token.text == ";"
