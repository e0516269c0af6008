"""Tests of plans: who is helped first."""

from __future__ import annotations

from blackstart.model import Plan


def test_enterprise_is_helped_first_then_global_then_pro_then_free() -> None:
    assert sorted(Plan, key=lambda plan: plan.sla_rank) == [
        Plan.ENTERPRISE,
        Plan.GLOBAL,
        Plan.PRO,
        Plan.FREE,
    ]
