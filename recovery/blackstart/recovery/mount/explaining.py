"""`explain`, as far as there is something to explain: by which `_id`s a command reads."""

from __future__ import annotations

from typing import Any

from blackstart.recovery.mount.handshake import VERSION
from blackstart.recovery.mount.ranges import Span


def explanation(namespace: str, span: Span) -> dict[str, Any]:
    """The plan in MongoDB's words: IDHACK for `_id`s, IXSCAN for a range, COLLSCAN for the rest."""
    stage: dict[str, Any] = {"stage": "COLLSCAN", "direction": "forward"}
    if span.points is not None:
        stage = {"stage": "IDHACK", "points": len(span.points)}
    elif not span.is_all:
        stage = {"stage": "IXSCAN", "indexName": "_id_", "keyPattern": {"_id": 1}}
    return {
        "explainVersion": "1",
        "queryPlanner": {"namespace": namespace, "winningPlan": stage, "rejectedPlans": []},
        "serverInfo": {"version": VERSION},
        "ok": 1.0,
    }
