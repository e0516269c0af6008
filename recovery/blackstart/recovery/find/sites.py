"""The sites as a search sees them: who pays for what, what each shows, and how it was hit."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from blackstart.model import InvalidDeploy, Plan, Site
from blackstart.model.document import first_problem
from blackstart.recovery.exact import collection
from blackstart.recovery.find.findings import BrokenSite, HitSite
from blackstart.store import MetadataStore

BATCH = 1_000
_LARGEST = 2**62


def sla_order(sites: list[Site]) -> list[Site]:
    """Who is helped first; by name within a plan."""
    return sorted(sites, key=lambda site: (site.plan.sla_rank, site.name))


def sla_rank(plan: str) -> int:
    """A plan's place in the order of help; one that nobody knows comes last."""
    try:
        return Plan(plan).sla_rank
    except ValueError:
        return len(Plan)


@dataclass(slots=True)
class SiteNote:
    """What is kept of one site while all deploys pass by: numbers, never documents.

    `numbers` are those of all its deploys, `broken` those of the invalid ones.
    """

    id: str
    name: str
    plan: str
    shown: str | None
    numbers: array[int] = field(default_factory=lambda: array("q"))
    broken: array[int] = field(default_factory=lambda: array("q"))
    down: bool = False
    invalid: bool = False
    missing_files: int = 0

    def saw(self, number: int) -> None:
        """One of its deploys passed by."""
        self.numbers.append(min(max(number, -_LARGEST), _LARGEST))

    def saw_broken(self, deploy: InvalidDeploy) -> None:
        """So did an invalid one."""
        self.broken.append(min(max(deploy.number, -_LARGEST), _LARGEST))
        self.down = self.down or deploy.id == self.shown

    @property
    def hit(self) -> bool:
        return bool(self.broken) or self.missing_files > 0

    def pages_with_broken(self, per_page: int) -> list[int]:
        """The pages of its list of deploys, newest first, that have an invalid one."""
        if not self.broken:
            return []
        order = sorted(self.numbers, reverse=True)
        broken = set(self.broken)
        return sorted({at // per_page + 1 for at, number in enumerate(order) if number in broken})


class SiteNotes:
    """Every site's note, by id; deploys of a site that is gone get one of their own."""

    def __init__(self) -> None:
        self._notes: dict[str, SiteNote] = {}
        self.invalid: list[BrokenSite] = []

    @classmethod
    async def read(cls, store: MetadataStore) -> SiteNotes:
        """Look at every site once; an invalid document is noted and no reason to stop."""
        notes = cls()
        cursor = collection(store, "sites").find().batch_size(BATCH)
        async for raw in cursor:
            notes._add(raw)
        return notes

    def _add(self, raw: dict[str, Any]) -> None:
        shown = raw.get("published_deploy_id")
        note = SiteNote(
            id=str(raw["_id"]),
            name=str(raw.get("name", "")),
            plan=str(raw.get("plan", "")),
            shown=None if shown is None else str(shown),
        )
        self._notes[note.id] = note
        try:
            Site.model_validate(raw)
        except ValidationError as error:
            note.invalid = True
            self.invalid.append(BrokenSite(note.id, note.name, first_problem(error)))

    def of(self, site_id: str) -> SiteNote:
        """A site's note; a nameless one when there is no such site."""
        note = self._notes.get(site_id)
        if note is None:
            note = self._notes[site_id] = SiteNote(site_id, "", "", None)
        return note

    def hit(self) -> Iterator[HitSite]:
        """The sites that were hit: those that are down first, each part in SLA order."""
        notes = [note for note in self._notes.values() if note.hit]
        for note in sorted(notes, key=lambda each: (not each.down, sla_rank(each.plan), each.name)):
            yield HitSite(
                note.id,
                note.name,
                note.plan,
                note.down,
                note.shown,
                len(note.broken),
                note.missing_files,
            )

    def by_name(self) -> list[SiteNote]:
        """Those of sites that exist, as lists of sites show them."""
        return sorted((note for note in self._notes.values() if note.name), key=lambda n: n.name)
