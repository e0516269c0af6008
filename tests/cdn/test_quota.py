"""Tests of plan quotas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.quota import PlanQuotas
from blackstart.errors import UsageError

QUOTAS = {"free": 100, "pro": 150, "enterprise": 300}

puts = st.tuples(
    st.sampled_from(["put", "touch", "remove"]),
    st.integers(0, 12).map(str),
    st.sampled_from(sorted(QUOTAS)),
    st.integers(0, 120),
)


@given(st.lists(puts, max_size=80))
def test_no_sequence_of_puts_exceeds_a_quota_or_touches_another_plan(
    steps: list[tuple[str, str, str, int]],
) -> None:
    quotas = PlanQuotas(QUOTAS)
    held: dict[str, tuple[str, int]] = {}
    for action, key, plan, size in steps:
        if action == "touch":
            quotas.touch(key)
        elif action == "remove":
            quotas.remove(key)
            held.pop(key, None)
        elif quotas.fits(plan, size):
            held.pop(key, None)
            for evicted in quotas.put(key, plan, size):
                assert held.pop(evicted)[0] == plan
            held[key] = (plan, size)
        for name, quota in QUOTAS.items():
            used = sum(size for plan, size in held.values() if plan == name)
            assert quotas.used_bytes(name) == used <= quota


def test_the_least_recently_used_leaves_first() -> None:
    quotas = PlanQuotas(QUOTAS)
    quotas.put("a", "free", 50)
    quotas.put("b", "free", 50)
    quotas.touch("a")
    assert quotas.put("c", "free", 50) == ["b"]


def test_a_free_site_never_pushes_an_enterprise_page_out() -> None:
    quotas = PlanQuotas(QUOTAS)
    quotas.put("precious", "enterprise", 300)
    evicted = [key for n in range(50) for key in quotas.put(f"free-{n}", "free", 60)]
    assert "precious" not in evicted
    assert quotas.used_bytes("enterprise") == 300


def test_an_unknown_plan_counts_as_free() -> None:
    quotas = PlanQuotas(QUOTAS)
    assert quotas.plan("platinum") == quotas.plan(None) == "free"


def test_quotas_without_a_default_plan_are_refused() -> None:
    with pytest.raises(UsageError, match="free"):
        PlanQuotas({"pro": 1})
