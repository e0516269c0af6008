"""All rules of a site together, and how its three files become them."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from blackstart.routing.config import parse_config
from blackstart.routing.headers import HeaderRule, SiteFields, fields_for, parse_headers
from blackstart.routing.pattern import Visit, visit
from blackstart.routing.redirects import Match, Redirect, parameters_of, parse_redirects

CONFIG_FILES = ("_redirects", "_headers", "netlify.toml")
"""The files at a site's root that hold rules; they are never served."""
MAX_FILE_BYTES = 256 * 1024
MAX_REDIRECTS = 10_000
MAX_HEADER_RULES = 1_000
MAX_HEADER_NAMES = 32
"""Different names in all: a node takes 128 lines, and as many tags as there may be need 75."""
MAX_PROBLEMS = 200


@dataclass(frozen=True)
class Rules:
    """What a site's files say: `redirects` in order, the first that matches wins.

    A problem names file and line: `_redirects line 3: status must be a number: 'abc'`.
    """

    redirects: tuple[Redirect, ...] = ()
    headers: tuple[HeaderRule, ...] = ()
    problems: list[str] = field(default_factory=list)

    @cached_property
    def forces(self) -> bool:
        """Whether a rule may come before a file that exists."""
        return any(redirect.force for redirect in self.redirects)

    def first_match(self, path: str, query: str) -> Match | None:
        """The rule for a decoded path and a query string as sent.

        Rules that would send visitors back to where they are do not count.
        """
        visited = visit(path)
        parameters = parameters_of(query) if self._asks_for_parameters else {}
        for redirect in self._candidates(visited):
            bound = redirect.match(visited, parameters)
            if bound is not None:
                match = Match(redirect, bound, query)
                if not match.leads_back(visited):
                    return match
        return None

    def fields(self, path: str) -> SiteFields:
        """The header fields and cache tags for a decoded path."""
        return fields_for(self.headers, path)

    @cached_property
    def _asks_for_parameters(self) -> bool:
        return any(redirect.query for redirect in self.redirects)

    @cached_property
    def _exact(self) -> Mapping[tuple[str, ...], list[int]]:
        index: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, redirect in enumerate(self.redirects):
            if redirect.source.exact is not None:
                index[redirect.source.exact].append(number)
        return index

    @cached_property
    def _by_first(self) -> Mapping[str | None, list[int]]:
        index: dict[str | None, list[int]] = defaultdict(list)
        for number, redirect in enumerate(self.redirects):
            if redirect.source.exact is None:
                index[redirect.source.first].append(number)
        return index

    def _candidates(self, path: Visit) -> Iterator[Redirect]:
        """Those that may match, in order; thousands of plain paths cost one look-up."""
        first = path.segments[0] if path.segments else None
        lists = [self._exact.get(path.segments, []), self._by_first.get(None, [])]
        if first is not None:
            lists.append(self._by_first.get(first, []))
        return (self.redirects[number] for number in heapq.merge(*lists))


def parse_rules(files: Mapping[str, bytes]) -> Rules:
    """Read whichever of CONFIG_FILES exist; never raises, whatever the bytes are.

    What cannot be read or is not supported is a problem and is left out; the
    rest holds. The rules of netlify.toml come after those of the other two, as
    Netlify's documentation orders them: of its redirects an earlier one wins,
    of two header rules for one field the later holds.
    """
    redirects: list[Redirect] = []
    headers: list[HeaderRule] = []
    problems: list[str] = []
    for name in CONFIG_FILES:
        found = _parse_file(name, files[name]) if name in files else Rules()
        redirects += found.redirects
        headers += found.headers
        problems += found.problems
    headers = _with_names_capped(headers, problems)
    return Rules(tuple(redirects), tuple(headers), _capped(problems))


def _parse_file(name: str, data: bytes) -> Rules:
    """One file's rules; a file that is too large is one problem and has none."""
    if len(data) > MAX_FILE_BYTES:
        return Rules(problems=[f"{name}: larger than {MAX_FILE_BYTES // 1024} KiB, skipped"])
    text = data.decode(errors="replace").removeprefix("\ufeff")
    redirects: list[Redirect] = []
    headers: list[HeaderRule] = []
    if name == "_redirects":
        redirects, problems = parse_redirects(text)
    elif name == "_headers":
        headers, problems = parse_headers(text)
    else:
        redirects, headers, problems = parse_config(text)
    if len(redirects) > MAX_REDIRECTS:
        return Rules(problems=[f"{name}: more than {MAX_REDIRECTS} redirects, skipped"])
    if len(headers) > MAX_HEADER_RULES:
        return Rules(problems=[f"{name}: more than {MAX_HEADER_RULES} header rules, skipped"])
    return Rules(tuple(redirects), tuple(headers), problems)


def _with_names_capped(rules: list[HeaderRule], problems: list[str]) -> list[HeaderRule]:
    """The rules with the first MAX_HEADER_NAMES names; the others are one problem."""
    names = dict.fromkeys(name for rule in rules for name in rule.fields)
    if len(names) <= MAX_HEADER_NAMES:
        return rules
    problems.append(f"more than {MAX_HEADER_NAMES} different header names: the first hold")
    kept = set(list(names)[:MAX_HEADER_NAMES])
    return [
        replace(rule, fields={name: rule.fields[name] for name in rule.fields if name in kept})
        for rule in rules
    ]


def _capped(problems: list[str]) -> list[str]:
    more = len(problems) - MAX_PROBLEMS
    return [*problems[:MAX_PROBLEMS], f"... and {more} more problems"] if more > 0 else problems
