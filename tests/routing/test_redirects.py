"""Tests of the lines of `_redirects`."""

from __future__ import annotations

import pytest

from blackstart.routing.redirects import parse_redirects


@pytest.mark.parametrize(
    ("line", "status", "force"),
    [
        ("/a /b", 301, False),
        ("\t/a   /b  302  ", 302, False),
        ("/a /b 301! # moved", 301, True),
        ("/a /b # 200", 301, False),
        ("/a https://example.org/b 307", 307, False),
        ("/a /b 308", 308, False),
        ("/a /b 303", 303, False),
        ("/a /b 200!", 200, True),
        ("/a /b 404", 404, False),
        ("/a /b 410\r", 410, False),
        ("/a x=:x y=1 /b/:x 301", 301, False),
        ("/app/* 200", 200, False),
    ],
)
def test_a_line_is_a_rule(line: str, status: int, force: bool) -> None:
    rules, problems = parse_redirects(line)
    assert problems == []
    assert [(rule.status, rule.force) for rule in rules] == [(status, force)]


@pytest.mark.parametrize("text", ["", "\n\n", "# /a /b", "   # comment\n"])
def test_comments_and_blank_lines_are_no_rules_and_no_problems(text: str) -> None:
    assert parse_redirects(text) == ([], [])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("/a /b abc", "status must be a number: 'abc'"),
        ("/a /b 3\N{SUPERSCRIPT TWO}1", "status must be a number"),
        ("/a /b 201", "status 201 is not supported"),
        ("/a", "there is no path or URL to lead to"),
        ("/a b", "there is no path or URL to lead to"),
        ("/a 301", "there is no path or URL to lead to"),
        ("/a 200", "there is no path or URL to lead to"),
        ("a /b", "a rule is for a path, which starts with '/': 'a'"),
        ("/a x /b", "a query parameter is written key=:name: 'x='"),
        ("/a x=: /b", "a query parameter is written key=:name: 'x=:'"),
        ("/a/:x x=:x /b", "a placeholder stands twice"),
        ("/*/a /b", "'*' can only stand at the end of the path: '/*/a'"),
        ("/a /:splat", "':splat' needs a '*'"),
        ("/a /b 301 extra", "more than a status after the target: '301 extra'"),
        ("/a /b 302 Country=au,nz", "conditions are not supported: 'Country=au,nz'"),
        ("/a /b Language=de", "conditions are not supported: 'Language=de'"),
        ("/a /b 200! Role=admin", "conditions are not supported: 'Role=admin'"),
        ("/a https://example.org/ 200", "proxying to another host is not supported"),
        ("/a https://example.org/ 404", "proxying to another host is not supported"),
        ("/a https://:splat/ 301", "a rule leads to a path or to http(s)://host/path"),
        ("http://blog.example.org/* /b", "a rule for another host is not supported"),
        ("/api/* /.netlify/functions/:splat 200", "there are no functions"),
    ],
)
def test_a_line_that_is_no_rule_is_reported_by_number_and_the_others_hold(
    line: str, problem: str
) -> None:
    rules, problems = parse_redirects(f"/first /1\n# comment\n{line}\n/last /2\n")
    assert len(rules) == 2
    assert len(problems) == 1
    assert problems[0].startswith(f"_redirects line 3: {problem}")
