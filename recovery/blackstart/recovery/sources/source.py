"""A source of lost metadata: asked for many broken deploys at once, it answers for each alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from blackstart.model import InvalidDeploy

PROBLEMS_NAMED = 20

Broken = Mapping[str, InvalidDeploy]
"""Broken deploys by id, as they were found."""


class Route(StrEnum):
    """The ways back, best first; `none` when there is not one.

    The first four give a deploy its metadata back. `announced` is for one that
    is not ready. The others are for a site: a newer deploy of it that is only
    stuck is pushed through, a rebuild makes a new deploy of the same commit,
    and a revert has the site show its last good one.
    """

    SNAPSHOT = "snapshot"
    POINTER_LOG = "pointer-log"
    TREE_SCAN = "tree-scan"
    ANNOUNCED = "announced"
    PUSH = "push"
    REBUILD = "rebuild"
    REVERT = "revert"
    NONE = "none"

    @property
    def restores(self) -> bool:
        """Whether the deploy itself comes back."""
        return self in RESTORING


RESTORING = (Route.SNAPSHOT, Route.POINTER_LOG, Route.TREE_SCAN, Route.ANNOUNCED)


@dataclass(frozen=True)
class Offer:
    """Metadata that a source has for a deploy.

    `metadata` holds the fields that it knows for certain, `guesses` some that
    it can only tell about; the rest has to be inferred elsewhere. `evidence`
    is for people.
    """

    deploy_id: str
    metadata: Mapping[str, Any]
    evidence: str
    guesses: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """Why a source has nothing for a deploy."""

    deploy_id: str
    why: str


def named(problems: Sequence[str]) -> list[str]:
    """The first problems of a source, and how many more there are."""
    more = len(problems) - PROBLEMS_NAMED
    return [*problems[:PROBLEMS_NAMED], *([f"and {more} more"] if more > 0 else [])]


class Source(Protocol):
    """One place to look. `problems` name what is wrong with the source itself, once it was asked.

    `offers` answers at most a few times for each deploy, the best offer first, and
    raises nothing because of the source's own damage: that is a problem, and a refusal.
    """

    route: Route
    name: str
    problems: list[str]

    def offers(self, broken: Broken) -> AsyncIterator[Offer | Refusal]: ...
