"""Tests of which site a Host header names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.model.address import branch_address
from blackstart.origin.host import HostTarget, parse_host

DEPLOY = "0123456789abcdef01234567"


@pytest.mark.parametrize(
    "host", ["docs.localhost", "docs.localhost:8080", "DOCS.LocalHost", "docs.localhost:"]
)
def test_a_host_below_the_domain_is_a_site(host: str) -> None:
    assert parse_host(host, "localhost") == HostTarget("docs")


def test_a_host_with_a_deploy_is_a_permalink() -> None:
    host = f"{DEPLOY}--docs.example.org:80"
    assert parse_host(host, "example.org") == HostTarget("docs", deploy_id=DEPLOY)


@pytest.mark.parametrize("branch", ["x", "feature-1", "a--b", "z" * 24, f"{DEPLOY}0"])
def test_a_host_with_a_branch_is_that_of_its_newest_deploy(branch: str) -> None:
    host = f"{branch}--docs.localhost:80"
    assert parse_host(host, "localhost") == HostTarget("docs", branch=branch)
    assert branch_address(branch, "docs") == f"{branch}--docs"


@pytest.mark.parametrize("branch", ["", "Upper", "a/b", "a.b", "-a", "a-", "ä", DEPLOY, "x" * 58])
def test_a_branch_that_fits_into_no_host_has_no_address(branch: str) -> None:
    assert branch_address(branch, "docs") is None
    assert branch_address("x" * 57, "docs") is not None


@given(st.text(st.sampled_from("ab-."), max_size=8), st.sampled_from(["docs", "a-b", "0"]))
def test_every_address_of_a_branch_leads_back_to_it(branch: str, name: str) -> None:
    label = branch_address(branch, name)
    if label is not None:
        found = parse_host(f"{label}.localhost", "localhost")
        assert found == HostTarget(name, branch=branch)


@pytest.mark.parametrize(
    "host",
    ["", ":80", "localhost", ".localhost", "docs", "a.b.localhost", "docs.example.org", "[::1]:80"],
)
def test_any_other_host_is_no_site(host: str) -> None:
    assert parse_host(host, "localhost") is None


@pytest.mark.parametrize("label", ["--docs", f"{DEPLOY}--", "--"])
def test_with_nothing_on_one_side_it_is_taken_as_a_name(label: str) -> None:
    assert parse_host(f"{label}.localhost", "localhost") == HostTarget(label)


@given(st.text())
def test_no_host_whatsoever_crashes(host: str) -> None:
    parse_host(host, "localhost")
    parse_host(f"{host}.localhost", "localhost")
