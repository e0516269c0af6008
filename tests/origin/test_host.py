"""Tests of which site a Host header names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.origin.host import HostTarget, parse_host

DEPLOY = "0123456789abcdef01234567"


@pytest.mark.parametrize(
    "host", ["docs.localhost", "docs.localhost:8080", "DOCS.LocalHost", "docs.localhost:"]
)
def test_a_host_below_the_domain_is_a_site(host: str) -> None:
    assert parse_host(host, "localhost") == HostTarget("docs", None)


def test_a_host_with_a_deploy_is_a_permalink() -> None:
    host = f"{DEPLOY}--docs.example.org:80"
    assert parse_host(host, "example.org") == HostTarget("docs", DEPLOY)


@pytest.mark.parametrize(
    "host",
    ["", ":80", "localhost", ".localhost", "docs", "a.b.localhost", "docs.example.org", "[::1]:80"],
)
def test_any_other_host_is_no_site(host: str) -> None:
    assert parse_host(host, "localhost") is None


@pytest.mark.parametrize("label", ["short--docs", f"{DEPLOY}--", f"{DEPLOY}0--docs"])
def test_what_is_no_permalink_is_taken_as_a_name(label: str) -> None:
    assert parse_host(f"{label}.localhost", "localhost") == HostTarget(label, None)


@given(st.text())
def test_no_host_whatsoever_crashes(host: str) -> None:
    parse_host(host, "localhost")
    parse_host(f"{host}.localhost", "localhost")
