"""Tests of the sites' queries, on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from blackstart.errors import ConflictError, NotFoundError
from blackstart.model import InvalidDeploy, Plan, Repo, Site
from blackstart.store import MetadataStore

NOON = datetime(2017, 2, 2, 12, tzinfo=UTC)
CONTENDERS = 20
NEWER = {"newest_published": 1}


def a_site(name: str, published: str | None = None) -> Site:
    return Site(
        id=f"id-{name}",
        name=name,
        plan=Plan.GLOBAL,
        repo=Repo(url="/somewhere", branch="main"),
        published_deploy_id=published,
        created_at=NOON,
    )


async def test_a_site_is_read_as_it_was_stored(store: MetadataStore) -> None:
    site = a_site("docs")
    await store.sites.insert(site)
    assert await store.sites.get(site.id) == site
    assert await store.sites.by_name("docs") == site


async def test_a_site_that_does_not_exist_is_not_found(store: MetadataStore) -> None:
    assert await store.sites.by_name("docs") is None
    with pytest.raises(NotFoundError, match="id-docs"):
        await store.sites.get("id-docs")


async def test_of_many_who_want_a_name_exactly_one_gets_it(store: MetadataStore) -> None:
    sites = [
        a_site("docs").model_copy(update={"id": f"id-{number}"}) for number in range(CONTENDERS)
    ]
    outcomes = await asyncio.gather(
        *(store.sites.insert(site) for site in sites), return_exceptions=True
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == CONTENDERS - 1
    assert len(await store.sites.all()) == 1


async def test_sites_come_in_name_order_page_by_page(store: MetadataStore) -> None:
    await store.sites.insert_many([a_site(name) for name in "dbeac"])
    assert [site.name for site in await store.sites.all()] == list("abcde")
    assert [site.name for site in await store.sites.page(0, 2)] == list("ab")
    assert [site.name for site in await store.sites.page(4, 2)] == list("e")
    assert await store.sites.page(6, 2) == []


async def test_publishing_compares_with_what_is_published(store: MetadataStore) -> None:
    site = a_site("docs", published="d1")
    await store.sites.insert(site)
    for stale in ({"published_deploy_id": "d2"}, {"published_deploy_id": None}, NEWER):
        assert not await store.sites.publish(site.model_copy(update=stale), "d3", 3)
    assert await store.sites.get(site.id) == site
    assert await store.sites.publish(site, "d2", 2)
    published = site.model_copy(update={"published_deploy_id": "d2", "newest_published": 2})
    assert await store.sites.get(site.id) == published


async def test_the_mark_of_the_newest_deploy_ever_published_never_goes_down(
    store: MetadataStore,
) -> None:
    site = a_site("docs", published="d7").model_copy(update={"newest_published": 7})
    await store.sites.insert(site)
    assert await store.sites.publish(site, "d3", 3)
    now = await store.sites.get(site.id)
    assert (now.published_deploy_id, now.newest_published) == ("d3", 7)


async def test_a_site_from_before_the_mark_was_kept_can_be_published(store: MetadataStore) -> None:
    site = a_site("docs", published="d1")
    await store.sites.insert(site)
    await store.database["sites"].update_one({"_id": site.id}, {"$unset": {"newest_published": ""}})
    assert await store.sites.publish(await store.sites.get(site.id), "d2", 2)
    assert (await store.sites.get(site.id)).newest_published == 2


async def test_a_locked_site_is_not_published_by_who_saw_it_unlocked(store: MetadataStore) -> None:
    site = a_site("docs", published="d1")
    await store.sites.insert(site)
    assert not await store.sites.lock(site.id, "d2"), "it shows another deploy"
    assert await store.sites.lock(site.id, "d1")
    assert not await store.sites.publish(site, "d2", 2)
    assert (await store.sites.get(site.id)).published_deploy_id == "d1"
    await store.sites.unlock(site.id)
    assert await store.sites.publish(site, "d2", 2)


async def test_of_a_lock_and_a_publish_at_once_only_one_happens(store: MetadataStore) -> None:
    for number in range(CONTENDERS):
        site = a_site(f"site{number}", published="d1")
        await store.sites.insert(site)
        steps = [store.sites.lock(site.id, "d1"), store.sites.publish(site, "d2", 2)]
        outcomes = await asyncio.gather(*(steps if number % 2 else steps[::-1]))
        assert sorted(outcomes) == [False, True]


async def test_publishing_changes_no_other_site(store: MetadataStore) -> None:
    await store.sites.insert_many([a_site("docs"), a_site("blog")])
    assert await store.sites.publish(a_site("docs"), "d1", 1)
    assert await store.sites.get("id-blog") == a_site("blog")


async def test_of_many_who_publish_exactly_one_wins(store: MetadataStore) -> None:
    await store.sites.insert(a_site("docs", published="d0"))
    won = await asyncio.gather(
        *(
            store.sites.publish(a_site("docs", published="d0"), f"d{number}", number)
            for number in range(1, CONTENDERS + 1)
        )
    )
    assert won.count(True) == 1
    site, number = await store.sites.get("id-docs"), won.index(True) + 1
    assert (site.published_deploy_id, site.newest_published) == (f"d{number}", number)


async def test_a_site_is_found_together_with_the_deploy_it_shows(store: MetadataStore) -> None:
    assert await store.sites.with_published_deploy("docs") is None
    await store.sites.insert_many([a_site("docs", published="d1"), a_site("new")])
    assert await store.sites.with_published_deploy("new") == (a_site("new"), None)
    assert await store.sites.with_published_deploy("docs") == (a_site("docs", "d1"), None)
    await store.database["deploys"].insert_one({"_id": "d1", "site_id": "id-docs", "number": 1})
    found = await store.sites.with_published_deploy("docs")
    assert found is not None
    site, deploy = found
    assert site == a_site("docs", "d1")
    assert isinstance(deploy, InvalidDeploy)
    assert (deploy.id, deploy.site_id) == ("d1", "id-docs")
