"""Redirects: the lines of `_redirects`, and what one rule does with a visitor's path.

The syntax is that of Netlify's documentation ("Redirects and rewrites", "Redirect options").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from blackstart.errors import UsageError
from blackstart.routing.pattern import PathPattern, Visit, parse_pattern, shown
from blackstart.routing.target import Target, parse_target

MOVES = frozenset({301, 302, 303, 307, 308})
"""Statuses that send the visitor elsewhere; the others show another page under the same URL."""
STATUSES = MOVES | {200, 404, 410}
_RESERVED = ("/.netlify/", "/.blackstart/")


@dataclass(frozen=True)
class Redirect:
    """One rule. `query` pairs a parameter with the value, or the `:name`, that it must have."""

    source: PathPattern
    query: tuple[tuple[str, str], ...]
    target: Target
    status: int
    force: bool

    def match(self, path: Visit, parameters: Mapping[str, str]) -> dict[str, str] | None:
        """What the placeholders stand for; None where path or query do not match."""
        bound = self.source.match(path)
        if bound is None:
            return None
        for key, wanted in self.query:
            given = parameters.get(key)
            if given is None or not (wanted.startswith(":") or given == wanted):
                return None
            if wanted.startswith(":"):
                bound[wanted[1:]] = given
        return bound


@dataclass(frozen=True)
class Match:
    """A rule that applies to a request, with its placeholders bound."""

    redirect: Redirect
    bound: Mapping[str, str]
    query: str

    @property
    def location(self) -> str:
        """Where a rule that moves the visitor leads: the Location field."""
        return self.redirect.target.location(self.bound, self.query)

    @property
    def inside(self) -> tuple[str, str]:
        """Decoded path and query that a rule which does not move the visitor goes on with."""
        return self.redirect.target.inside(self.bound, self.query)

    def leads_back(self, path: Visit) -> bool:
        """Whether the visitor would only be sent where they are, and so for ever."""
        if self.redirect.status not in MOVES or self.redirect.target.host:
            return False
        target, query = self.inside
        return target.strip("/") == path.rest.rstrip("/") and query == self.query


def parameters_of(query: str) -> dict[str, str]:
    """The parameters of a query string; the first of a name counts."""
    parameters: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(key, value)
    return parameters


def make_redirect(
    source: str, query: Mapping[str, str], to: str | None, status: int, force: bool
) -> Redirect:
    """Check and put together one rule, wherever it was written. Raises: UsageError."""
    if source.startswith(("http://", "https://")):
        raise UsageError(f"a rule for another host is not supported: {shown(source)}")
    if status not in STATUSES:
        raise UsageError(f"status {status} is not supported")
    pattern = parse_pattern(source)
    if to is None:
        to = _forward(source, status)
    for path in (source, to):
        if path.startswith(_RESERVED):
            raise UsageError(f"there are no functions, and the path is reserved: {shown(path)}")
    pairs = tuple(query.items())
    in_query = [value[1:] for _, value in pairs if value.startswith(":")]
    names = pattern.names.union(in_query)
    if len(names) != len(pattern.names) + len(in_query):
        raise UsageError("a placeholder stands twice in path and query parameters")
    target = parse_target(to, names)
    if target.host and status not in MOVES:
        raise UsageError(f"proxying to another host is not supported: {shown(to)}")
    return Redirect(pattern, pairs, target, status, force)


def parse_redirects(text: str) -> tuple[list[Redirect], list[str]]:
    """The rules of a `_redirects` file, and a problem for each line that is none."""
    rules: list[Redirect] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        tokens = _tokens(line)
        if not tokens:
            continue
        try:
            rules.append(_parse_line(tokens))
        except UsageError as error:
            problems.append(f"_redirects line {number}: {error}")
    return rules, problems


def parse_status(text: str) -> tuple[int, bool]:
    """`301` or, to force, `301!`. Raises: UsageError."""
    digits = text.removesuffix("!")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 3):
        raise UsageError(f"status must be a number: {shown(text)}")
    return int(digits), text.endswith("!")


def check_query(key: str, value: str) -> tuple[str, str]:
    """A parameter that a rule asks for, with its value or `:name`. Raises: UsageError."""
    name = value.removeprefix(":")
    is_name = value.startswith(":") and name.isascii() and name.isidentifier()
    if not key or not value or (value.startswith(":") and not is_name):
        raise UsageError(f"a query parameter is written key=:name: {shown(f'{key}={value}')}")
    return key, value


def _tokens(line: str) -> list[str]:
    tokens = line.split()
    comment = next((i for i, token in enumerate(tokens) if token.startswith("#")), len(tokens))
    return tokens[:comment]


def _parse_line(tokens: Sequence[str]) -> Redirect:
    """`from [key=:name ...] [to] [status[!]]`, as Netlify's own parser reads it."""
    source, *rest = tokens
    at = next((i for i, token in enumerate(rest) if _is_target(token)), None)
    if at is None:
        if len(rest) != 1 or not rest[0].removesuffix("!").isdigit():
            raise UsageError("there is no path or URL to lead to")
        return make_redirect(source, {}, None, *parse_status(rest[0]))
    query = dict(check_query(*_pair(token)) for token in rest[:at])
    options = rest[at + 1 :]
    conditions = [token for token in options if "=" in token]
    if conditions:
        raise UsageError(f"conditions are not supported: {shown(' '.join(conditions))}")
    if len(options) > 1:
        raise UsageError(f"more than a status after the target: {shown(' '.join(options))}")
    status, force = parse_status(options[0]) if options else (301, False)
    return make_redirect(source, query, rest[at], status, force)


def _pair(token: str) -> tuple[str, str]:
    key, _, value = token.partition("=")
    return key, value


def _is_target(token: str) -> bool:
    return token.startswith(("/", "http:", "https:"))


def _forward(source: str, status: int) -> str:
    """Without a target `/app/* 200` shows what is there, whatever later rules say."""
    if status != 200 or not source.endswith("/*"):
        raise UsageError("there is no path or URL to lead to")
    return f"{source[:-1]}:splat"
