"""Tests of netlify.toml's tables."""

from __future__ import annotations

import pytest

from blackstart.routing.config import parse_config
from blackstart.routing.rules import parse_rules

# The shape that Netlify's command line writes when it folds `_redirects` and `_headers` in.
GENERATED = b"""
functionsDirectory = "/build/functions"
headersOrigin = "inline"
redirectsOrigin = "inline"
plugins = [ ]

[build]
publish = "/build/public"
publishOrigin = "ui"

[build.environment]

[functions."*"]

[[headers]]
for = "/assets/*"

  [headers.values]
  Cache-Control = "public, max-age=31536000"
  x-list = [ "a", "b" ]

[[redirects]]
from = "/old/*"
to = "/new/:splat"
status = 302.0
force = true

  [redirects.query]

  [redirects.conditions]

  [redirects.headers]

[[redirects]]
from = "/store"
to = "/p/:id"
status = 200

  [redirects.query]
  id = ":id"
"""


def test_the_file_that_netlifys_command_line_makes_is_read() -> None:
    rules = parse_rules({"netlify.toml": GENERATED})
    assert rules.problems == []
    old = rules.first_match("/old/x", "")
    assert old is not None
    assert (old.location, old.redirect.status, old.redirect.force) == ("/new/x", 302, True)
    store = rules.first_match("/store", "id=7")
    assert store is not None
    assert store.inside == ("/p/7", "id=7")
    assert rules.first_match("/store", "") is None
    assert rules.fields("/assets/a.js").fields == {
        "cache-control": "public, max-age=31536000",
        "x-list": "a, b",
    }


def test_a_value_over_several_lines_is_one() -> None:
    value = '"""\n  max-age=0,\n  no-cache"""'
    text = f'[[headers]]\nfor = "/*"\n[headers.values]\ncache-control = {value}'
    _, headers, problems = parse_config(text)
    assert problems == []
    assert headers[0].fields == {"cache-control": "max-age=0, no-cache"}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('to = "/b"', "'from' must be a text"),
        ('from = "/a"', "there is no path or URL to lead to"),
        ('from = "/a"\nto = "/b"\nstatus = "abc"', "status must be a number: 'abc'"),
        ('from = "/a"\nto = "/b"\nstatus = true', "status must be a number: 'True'"),
        ('from = "/a"\nto = "/b"\nstatus = 301.5', "status must be a number: '301.5'"),
        ('from = "/a"\nto = "/b"\nforce = "yes"', "force must be true or false: 'yes'"),
        ('from = "/a"\nto = "/b"\nquery = 1', "query must be a table"),
        ('from = "/a"\nto = "/b"\nquery = {a = 1}', "'query a' must be a text"),
        ('from = "/a"\nto = "/b"\nrate_limit = 5', "unknown key: 'rate_limit'"),
        ('from = "/a"\nto = "/b"\nconditions = {Country = ["AU"]}', "conditions (Country"),
        ('from = "/a"\nto = "/b"\nsigned = "KEY"', "signed proxies are not supported"),
        ('from = "/a"\nto = "/b"\nheaders = {X = "1"}', "request headers for a proxy"),
        ('from = "/a"\nto = "https://example.org/b"\nstatus = 200', "proxying to another host"),
    ],
)
def test_a_table_that_is_no_rule_is_reported_by_number_and_the_others_hold(
    line: str, problem: str
) -> None:
    good = '[[redirects]]\nfrom = "/x"\nto = "/y"\n'
    redirects, _, problems = parse_config(f"{good}[[redirects]]\n{line}\n{good}")
    assert len(redirects) == 2
    assert len(problems) == 1
    assert problems[0].startswith(f"netlify.toml redirects 2: {problem}")


def test_a_header_that_is_refused_is_reported_by_its_tables_number() -> None:
    tables = ['values = {Server = "x", X-A = 1}', "values = 1"]
    text = "".join(f'[[headers]]\nfor = "/*"\n{table}\n' for table in tables)
    _, headers, problems = parse_config(text)
    assert headers[0].fields == {"x-a": "1"}
    assert problems == [
        "netlify.toml headers 1: header server cannot be set: the server sets it for each transfer",
        "netlify.toml headers 2: values must be a table",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("not toml", "it is not TOML"),
        ("a = " + "9" * 5_000, "it is not TOML"),
        ("a = " + "[" * 5_000, "it is nested too deeply"),
        ("a." * 100_000 + "a = 1", "a key has more than 32 parts"),
        ("[" + '"a" . ' * 20_000 + "a]", "a key has more than 32 parts"),
        ("redirects = 1", "redirects must be tables"),
        ("headers = [1]", ""),
        ("[[edge_functions]]\npath = '/a'", "edge functions are not supported"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_problem(text: str, problem: str) -> None:
    redirects, headers, problems = parse_config(text)
    assert (redirects, headers, len(problems)) == ([], [], 1)
    assert problem in problems[0]
