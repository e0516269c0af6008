"""Which requests of the control plane fail because of a broken document, route by route.

A view that includes an invalid document fails as a whole without the
safeguard `tolerant-api`; a test holds this list to what the routes answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from blackstart.control.pages import PER_PAGE as PAGE_LENGTH
from blackstart.control.paging import DEFAULT_PER_PAGE
from blackstart.recovery.find.findings import FailingResponse
from blackstart.recovery.find.sites import SiteNote, SiteNotes

API = "/api/v1"


def of_deploy(site: SiteNote, deploy_id: str) -> Iterator[FailingResponse]:
    """The requests for one invalid deploy itself."""
    yield FailingResponse(f"{API}/deploys/{deploy_id}", deploy_id)
    if site.name:
        yield FailingResponse(f"{API}/sites/{site.id}/deploys/{deploy_id}", deploy_id)
        yield FailingResponse(f"/sites/{site.name}/deploys/{deploy_id}", deploy_id)


def of_build(build_id: str) -> Iterator[FailingResponse]:
    """The requests for one invalid build itself."""
    yield FailingResponse(f"{API}/builds/{build_id}", build_id)
    yield FailingResponse(f"{API}/builds/{build_id}/log", build_id, always=True)
    yield FailingResponse(f"{API}/builds/{build_id}/log/stream", build_id, always=True)


def of_sites(notes: SiteNotes, builds: dict[str, str]) -> Iterator[FailingResponse]:
    """The lists and pages that show an invalid deploy, and those with an invalid build or site.

    `builds` tells an invalid build's id of each site that has one.
    """
    listed = notes.by_name()
    yield from _lists(f"{API}/sites", listed, DEFAULT_PER_PAGE)
    yield from _lists("/", listed, PAGE_LENGTH)
    for note in listed:
        if note.invalid:
            yield FailingResponse(f"{API}/sites/{note.id}", note.id, always=True)
            yield FailingResponse(f"/sites/{note.name}", note.id, always=True)
        else:
            yield from _of_site(note, builds.get(note.id))


def _lists(path: str, listed: list[SiteNote], length: int) -> Iterator[FailingResponse]:
    for start in range(0, len(listed), length):
        page = listed[start : start + length]
        bad = min(
            (n for n in page if n.invalid or n.down), key=lambda n: not n.invalid, default=None
        )
        if bad is not None:
            yield FailingResponse(f"{path}?page={start // length + 1}", bad.id, always=bad.invalid)


def _of_site(note: SiteNote, build_id: str | None) -> Iterator[FailingResponse]:
    for page in note.pages_with_broken(DEFAULT_PER_PAGE):
        yield FailingResponse(f"{API}/sites/{note.id}/deploys?page={page}", note.id)
    if note.down:
        yield FailingResponse(f"{API}/sites/{note.id}", note.shown or "")
        yield FailingResponse(f"{API}/sites/{note.id}/files", note.shown or "", always=True)
    if build_id is not None:
        yield FailingResponse(f"{API}/sites/{note.id}/builds", build_id)
    if note.down or 1 in note.pages_with_broken(PAGE_LENGTH) or build_id is not None:
        yield FailingResponse(f"/sites/{note.name}", build_id or note.id)
