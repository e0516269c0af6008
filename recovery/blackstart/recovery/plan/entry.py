"""One line of a plan: how one broken deploy comes back, why, and exactly what would change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from blackstart.recovery.exact import from_json, to_json
from blackstart.recovery.find import sla_rank
from blackstart.recovery.sources.source import Route


@dataclass(frozen=True)
class Entry:
    """What is planned for one broken deploy; `shown` when its site shows it.

    `before` is what the plan saw and `after` what there will be, by route:
    - a deploy that is restored: `state` and `metadata` (may be missing) before, `metadata` after;
    - a revert: the site's `published_deploy_id` before and after;
    - a push: the site's `published_deploy_id` before, and the stuck `build` with its `deploy`;
    - a rebuild: the same before, and the new `build` of a `commit_ref` (None: the branch's head);
    - none: `after` is empty.
    `inferred` are fields of `after` that no source had. `refused` tells what
    else was looked at, and why it would not do.
    """

    deploy_id: str
    site_id: str
    site: str
    plan: str
    number: int
    shown: bool
    route: Route
    source: str
    before: dict[str, Any]
    after: dict[str, Any]
    evidence: list[str] = field(default_factory=list)
    inferred: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    plain: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    """What `to_json` gives, for an entry that was read."""

    @property
    def order(self) -> tuple[int, bool, bool, str, int, str]:
        """Its place in a plan: SLA order; in a tier deploys before sites, what is shown first.

        Reverts come after what they may revert to.
        """
        return (
            sla_rank(self.plan),
            not self.route.restores,
            not self.shown,
            self.site,
            -self.number,
            self.deploy_id,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values. Raises: ConflictError when the document cannot be written so."""
        if self.plain is not None:
            return self.plain
        return {
            "deploy": self.deploy_id,
            "site": self.site,
            "site_id": self.site_id,
            "plan": self.plan,
            "number": self.number,
            "shown": self.shown,
            "route": self.route.value,
            "source": self.source,
            "evidence": self.evidence,
            "inferred": self.inferred,
            "before": to_json(self.before),
            "after": to_json(self.after),
            "refused": self.refused,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Entry:
        """Raises: KeyError, ValueError, TypeError when it is no entry."""
        return cls(
            deploy_id=value["deploy"],
            site_id=value["site_id"],
            site=value["site"],
            plan=value["plan"],
            number=value["number"],
            shown=value["shown"],
            route=Route(value["route"]),
            source=value["source"],
            before=from_json(value["before"]),
            after=from_json(value["after"]),
            evidence=value["evidence"],
            inferred=value["inferred"],
            refused=value["refused"],
            plain=value,
        )
