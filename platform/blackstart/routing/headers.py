"""Header rules: the blocks of `_headers`, and which paths a block is for.

The syntax is that of Netlify's documentation ("Custom headers").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from blackstart.errors import UsageError
from blackstart.routing.fields import (
    MAX_TAGS,
    MAX_VALUE_CHARS,
    TAG_FIELDS,
    check_field,
    split_tags,
)
from blackstart.routing.pattern import shown

Report = Callable[[str], None]

_NODES = "cdn-cache-control"
_NODES_FIRST = "netlify-cdn-cache-control"
MAX_STARS = 8


@dataclass(frozen=True)
class HeaderRule:
    """Header fields, and cache tags, for every path that `regex` matches."""

    regex: str
    fields: Mapping[str, str]
    tags: tuple[str, ...]

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        # Only what is used is compiled: a file may have thousands of rules too many.
        return re.compile(self.regex, re.IGNORECASE | re.DOTALL)

    def fits(self, path: str) -> bool:
        """Whether it is for this decoded path; upper and lower case are the same."""
        return self._compiled.match(path) is not None


@dataclass(frozen=True)
class SiteFields:
    """What all rules for one path say together.

    `cdn-cache-control` is the site's word for the nodes, whichever field it wrote it in.
    """

    fields: Mapping[str, str]
    tags: tuple[str, ...]


def fields_for(rules: Iterable[HeaderRule], path: str) -> SiteFields:
    """Every rule that fits applies; where two set one field, the later holds."""
    fields: dict[str, str] = {}
    tags: dict[str, None] = {}
    for rule in rules:
        if rule.fits(path):
            fields.update(rule.fields)
            tags.update(dict.fromkeys(rule.tags))
    if _NODES_FIRST in fields:
        fields[_NODES] = fields.pop(_NODES_FIRST)
    return SiteFields(fields, tuple(tags)[:MAX_TAGS])


def make_header_rule(path: str, pairs: Iterable[tuple[str, str, Report]]) -> HeaderRule | None:
    """Put one block together; each field comes with where to report what is wrong with it.

    Values of one name are joined with a comma. None where no field is left.
    Raises: UsageError when the path is none.
    """
    regex = path_regex(path)
    fields: dict[str, str] = {}
    tags: list[str] = []
    for raw_name, raw_value, report in pairs:
        try:
            name, value = check_field(raw_name, raw_value)
            if name in TAG_FIELDS:
                tags += split_tags(value, report)
            else:
                fields[name] = _joined(fields.get(name), value, name)
        except UsageError as error:
            report(str(error))
    if len(tags) > MAX_TAGS:
        report(f"more than {MAX_TAGS} cache tags for {shown(path)}: the first hold")
    return HeaderRule(regex, fields, tuple(tags[:MAX_TAGS])) if fields or tags else None


def _joined(before: str | None, value: str, name: str) -> str:
    joined = value if before is None else f"{before}, {value}"
    if len(joined) > MAX_VALUE_CHARS:
        raise UsageError(f"header {name} is longer than {MAX_VALUE_CHARS} characters")
    return joined


def path_regex(text: str) -> str:
    """A pattern as Netlify's own parser reads it: `*` is any text, `:name` one segment.

    A trailing slash does not matter. The author's text is escaped. What stands
    between two `*` is looked for once and never again (an atomic group), so
    that no path takes more than one pass.
    Raises: UsageError.
    """
    if not text.startswith("/"):
        raise UsageError(f"headers are for a path, which starts with '/': {shown(text)}")
    if text.count("*") > MAX_STARS:
        raise UsageError(f"more than {MAX_STARS} '*' in a path: {shown(text)}")
    first, *starred = _pieces(text)
    last = starred.pop() if starred else ""
    middle = "".join(f"(?>{piece})" for piece in starred)
    return f"{first}{middle}{last}/?\\Z"


def _pieces(text: str) -> list[str]:
    """Regexes, each but the first beginning with a `*`."""
    pieces = [""]
    for part in filter(None, text.split("/")):
        if part == "*":
            pieces.append("(?:/.*?)??")  # It may stand for nothing: /a/* is for /a too.
        elif part.startswith(":"):
            if "*" in part:
                raise UsageError(f"a placeholder is a whole segment, ':name': {shown(part)}")
            pieces[-1] += "/[^/]++"
        else:
            head, *tail = (re.escape(unquote(literal)) for literal in part.split("*"))
            pieces[-1] += f"/{head}"
            pieces += [f".*?{literal}" for literal in tail]
    return pieces


def parse_headers(text: str) -> tuple[list[HeaderRule], list[str]]:
    """The rules of a `_headers` file, and a problem for each line that is none."""
    problems: list[str] = []
    rules: list[HeaderRule] = []
    for path, number, pairs in _blocks(text, problems):
        try:
            rule = make_header_rule(path, pairs)
        except UsageError as error:
            problems.append(f"_headers line {number}: {error}")
            continue
        if rule is not None:
            rules.append(rule)
    return rules, problems


def _blocks(text: str, problems: list[str]) -> list[tuple[str, int, list[tuple[str, str, Report]]]]:
    """Path, its line's number, and the fields below it."""
    blocks: list[tuple[str, int, list[tuple[str, str, Report]]]] = []
    skipping = False
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        report = _reporter(problems, number)
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.startswith("/"):
            blocks.append((stripped, number, []))
            skipping = False
        elif stripped.startswith(("http://", "https://")):
            report(f"headers for another host are not supported: {shown(stripped)}")
            skipping = True
        elif not skipping:
            name, colon, value = stripped.partition(":")
            if not colon:
                report(f"neither a path nor 'Name: value': {shown(stripped)}")
            elif not blocks:
                report("a path must stand before its headers")
            else:
                blocks[-1][2].append((name.strip(), value.strip(), report))
    return blocks


def _reporter(problems: list[str], number: int) -> Report:
    return lambda text: problems.append(f"_headers line {number}: {text}")
