"""The tables `[[redirects]]` and `[[headers]]` of a netlify.toml.

The keys are those of Netlify's documentation ("File-based configuration"). Its command
line folds `_redirects` and `_headers` into a netlify.toml of its own, with every key
present, mostly empty, and numbers as floats; that form is read as well.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from blackstart.errors import UsageError
from blackstart.routing.headers import HeaderRule, Report, make_header_rule
from blackstart.routing.pattern import shown
from blackstart.routing.redirects import Redirect, check_query, make_redirect, parse_status

T = TypeVar("T")

FILE = "netlify.toml"
MAX_KEY_PARTS = 32
# tomllib takes time and memory with the square of a dotted key's length (a.a.a...), enough to
# end the process, so a file with an absurdly long one is not given to it.
_KEY_PART = (
    r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.){0,256}"|'[^'\n]{0,256}')[ \t]{0,9}\.[ \t]{0,9}"""
)
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_KEY_PART}){{{MAX_KEY_PARTS}}}")

_UNSUPPORTED = {
    "conditions": "conditions (Country, Language, Role, Cookie) are not supported",
    "headers": "request headers for a proxy are not supported",
    "signed": "signed proxies are not supported",
    "edge_handler": "edge functions are not supported",
}
_REDIRECT_KEYS = frozenset({"from", "to", "status", "force", "query", *_UNSUPPORTED})
_HEADER_KEYS = frozenset({"for", "values"})


def parse_config(text: str) -> tuple[list[Redirect], list[HeaderRule], list[str]]:
    """The rules of a netlify.toml, and its problems; one when it is no TOML at all."""
    try:
        config = _load(text)
    except UsageError as error:
        return [], [], [f"{FILE}: {error}"]
    problems: list[str] = []
    if config.get("edge_functions"):
        problems.append(f"{FILE}: edge functions are not supported")
    redirects = list(_each(config, "redirects", lambda table, _: _redirect(table), problems))
    headers = list(_each(config, "headers", _header, problems))
    return redirects, headers, problems


def _load(text: str) -> dict[str, Any]:
    if _LONG_KEY.search(text):
        raise UsageError(f"a key has more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UsageError("it is nested too deeply") from error
    except ValueError as error:  # Also a number of thousands of digits, which Python refuses.
        raise UsageError(f"it is not TOML: {shown(str(error))}") from error


def _each(
    config: Mapping[str, Any],
    key: str,
    read: Callable[[Mapping[str, Any], Report], T | None],
    problems: list[str],
) -> Iterator[T]:
    """What `read` makes of each table under `key`; what it refuses becomes a problem."""
    tables = config.get(key, [])
    if not isinstance(tables, list):
        problems.append(f"{FILE}: {key} must be tables, [[{key}]]")
        return
    for number, table in enumerate(tables, start=1):
        where = f"{FILE} {key} {number}"
        try:
            made = read(_table(table, "it"), _reporter(problems, where))
        except UsageError as error:
            problems.append(f"{where}: {error}")
            continue
        if made is not None:
            yield made


def _reporter(problems: list[str], where: str) -> Report:
    return lambda text: problems.append(f"{where}: {text}")


def _redirect(table: Mapping[str, Any]) -> Redirect:
    _only(table, _REDIRECT_KEYS)
    for key, problem in _UNSUPPORTED.items():
        if table.get(key):
            raise UsageError(problem)
    query = _table(table.get("query", {}), "query")
    pairs = dict(check_query(key, _text(value, f"query {key}")) for key, value in query.items())
    to = None if "to" not in table else _text(table["to"], "to")
    force = table.get("force", False)
    if not isinstance(force, bool):
        raise UsageError(f"force must be true or false: {shown(str(force))}")
    source = _text(table.get("from"), "from")
    return make_redirect(source, pairs, to, _status(table.get("status", 301)), force)


def _header(table: Mapping[str, Any], report: Report) -> HeaderRule | None:
    _only(table, _HEADER_KEYS)
    values = _table(table.get("values", {}), "values")
    pairs = []
    for name, value in values.items():
        for text in value if isinstance(value, list) else [value]:
            pairs.append((name, _one_line(text, name), report))
    return make_header_rule(_text(table.get("for"), "for"), pairs)


def _status(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise UsageError(f"status must be a number: {shown(str(value))}")
    return parse_status(value)[0]


def _one_line(value: object, name: str) -> str:
    """A value over several lines is one with spaces between, as Netlify's documentation shows."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return " ".join(line.strip() for line in _text(value, name).split("\n")).strip()


def _only(table: Mapping[str, Any], keys: frozenset[str]) -> None:
    unknown = sorted(table.keys() - keys)
    if unknown:
        raise UsageError(f"unknown key: {shown(', '.join(unknown))}")


def _table(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{name} must be a table")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{shown(name)} must be a text")
    return value
