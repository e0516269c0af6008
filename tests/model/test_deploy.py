"""Tests of deploys as documents, whole and damaged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blackstart.model import Deploy, InvalidDeploy, parse_deploy

NOON = datetime(2017, 2, 2, 12, tzinfo=UTC)
METADATA = {
    "tree": "t" * 64,
    "completed_at": NOON,
    "file_count": 1,
    "byte_count": 5,
    "pending_uploads": [],
}
READY = {
    "_id": "d1",
    "site_id": "s1",
    "number": 3,
    "state": "ready",
    "branch": "main",
    "context": "production",
    "title": None,
    "error": None,
    "commit_ref": None,
    "build_id": None,
    "created_at": NOON,
    "metadata": METADATA,
}

OPTIONAL = ("context", "title", "error")

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**63 - 1)
    | st.floats()
    | st.text()
    | st.binary(max_size=8)
    | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from([*READY, "id"]) | st.text(), values)


def test_a_whole_document_is_read_and_written_back_the_same() -> None:
    deploy = parse_deploy(READY)
    assert isinstance(deploy, Deploy)
    assert deploy.to_mongo() == READY


@given(documents)
@example({"number": "three"})
@example({"number": None})
@example({"number": {"$numberLong": "3"}})
@example({"number": float("nan")})
@example({"number": float("inf")})
def test_any_document_at_all_is_read_as_some_deploy(raw: dict[str, Any]) -> None:
    deploy = parse_deploy(raw)
    assert isinstance(deploy, Deploy | InvalidDeploy)


@given(documents)
def test_a_ready_deploy_with_any_field_overwritten_never_crashes(changes: dict[str, Any]) -> None:
    raw = READY | changes
    deploy = parse_deploy(raw)
    assert isinstance(deploy, Deploy) or (deploy.raw is raw and deploy.reason)


def test_an_invalid_deploy_keeps_all_that_could_still_be_read() -> None:
    raw = READY | {"metadata": {"migrated": True}}
    deploy = parse_deploy(raw)
    assert isinstance(deploy, InvalidDeploy)
    assert (deploy.id, deploy.site_id, deploy.number, deploy.state) == ("d1", "s1", 3, "ready")
    assert deploy.reason.startswith("metadata.")
    assert deploy.raw is raw


@pytest.mark.parametrize(
    "damage",
    [
        {"tree": None},
        {"completed_at": None},
        {"pending_uploads": ["0" * 40]},
        {"file_count": -1},
        {"byte_count": -1},
        {"migrated": True},
    ],
)
def test_a_ready_deploy_without_all_of_its_metadata_is_invalid(damage: dict[str, Any]) -> None:
    assert isinstance(parse_deploy(READY | {"metadata": METADATA | damage}), InvalidDeploy)


@pytest.mark.parametrize("field", [field for field in READY if field not in OPTIONAL])
def test_a_document_that_lacks_a_field_is_invalid_and_names_it(field: str) -> None:
    deploy = parse_deploy({key: value for key, value in READY.items() if key != field})
    assert isinstance(deploy, InvalidDeploy)
    assert field in deploy.reason


def test_a_deploy_on_its_way_may_lack_tree_and_time() -> None:
    metadata = METADATA | {"tree": None, "completed_at": None, "pending_uploads": ["0" * 40]}
    deploy = parse_deploy(READY | {"state": "uploading", "metadata": metadata})
    assert isinstance(deploy, Deploy)


def test_a_deploy_cannot_be_changed_in_place() -> None:
    deploy = parse_deploy(READY)
    with pytest.raises(ValueError, match="frozen"):
        deploy.number = 4  # type: ignore[misc]


def test_a_deploy_from_before_there_were_contexts_is_a_production_deploy() -> None:
    deploy = parse_deploy({key: value for key, value in READY.items() if key not in OPTIONAL})
    assert deploy == parse_deploy(READY)


def test_a_deploy_is_past_the_point_of_no_return_once_it_has_its_time() -> None:
    processing = READY | {"state": "processing"}
    completed = parse_deploy(processing)
    pending = parse_deploy(processing | {"metadata": METADATA | {"completed_at": None}})
    assert isinstance(completed, Deploy) and completed.completed
    assert isinstance(pending, Deploy) and not pending.completed
