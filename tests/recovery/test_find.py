"""Tests of finding what is broken: all of it, and nothing else."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from blackstart.model import Deploy, Plan, Site
from blackstart.recovery.find import (
    MissingFiles,
    broken_deploys,
    missing_files,
    sites_down,
    sla_order,
)
from blackstart.store.objects import blob_key, tree_key

if TYPE_CHECKING:
    from tests.conftest import Bench

PAGE, SCRIPT, SHARED = b"a page", b"a script", b"shared"


async def lose(bench: Bench, *contents: bytes) -> None:
    digests = [hashlib.sha1(data, usedforsecurity=False).hexdigest() for data in contents]
    await bench.objects.delete([blob_key(digest) for digest in digests])


async def test_exactly_the_damaged_deploys_are_found_in_id_order(bench: Bench) -> None:
    site = await bench.site()
    deploys = [await bench.release(site, {"index.html": PAGE}) for _ in range(6)]
    await bench.processing(site, {"index.html": PAGE})
    assert await broken_deploys(bench.store) == []
    broken = [await bench.destroy(deploy.id) for deploy in deploys[1::2]]
    assert await broken_deploys(bench.store) == sorted(broken, key=lambda deploy: deploy.id)


async def test_a_site_is_down_when_what_it_shows_is_broken_and_who_pays_more_comes_first(
    bench: Bench,
) -> None:
    shown: dict[str, tuple[Site, Deploy]] = {}
    for name, plan in (
        ("free", Plan.FREE),
        ("pro-b", Plan.PRO),
        ("pro-a", Plan.PRO),
        ("global", Plan.GLOBAL),
        ("enterprise", Plan.ENTERPRISE),
        ("healthy", Plan.ENTERPRISE),
        ("older-broken", Plan.ENTERPRISE),
    ):
        site = await bench.site(name, plan=plan)
        old = await bench.release(site, {"index.html": PAGE})
        shown[name] = site, await bench.release(site, {"index.html": PAGE})
        if name == "older-broken":
            await bench.destroy(old.id)
        elif name != "healthy":
            await bench.destroy(shown[name][1].id)
    down = await sites_down(bench.store, await broken_deploys(bench.store))
    assert [site.name for site in down] == ["enterprise", "global", "pro-a", "pro-b", "free"]
    assert sla_order(down[::-1]) == down


async def test_exactly_the_files_that_never_arrived_are_found(bench: Bench) -> None:
    site = await bench.site()
    files = {"index.html": PAGE, "b/app.js": SCRIPT, "a/copy.js": SCRIPT, "ok.txt": SHARED}
    first = await bench.release(site, files)
    second = await bench.release(site, {"app.js": SCRIPT, "ok.txt": SHARED})
    await bench.release(site, {"ok.txt": SHARED})
    assert await missing_files(bench.store, bench.objects, since=first.created_at) == []
    await lose(bench, SCRIPT)
    expected = [
        MissingFiles(site.id, first.id, ["a/copy.js", "b/app.js"]),
        MissingFiles(site.id, second.id, ["app.js"]),
    ]
    found = await missing_files(bench.store, bench.objects, since=first.created_at)
    assert found == sorted(expected, key=lambda missing: missing.deploy_id)


async def test_older_unready_and_broken_deploys_are_not_searched(bench: Bench) -> None:
    site = await bench.site()
    older = await bench.release(site, {"app.js": SCRIPT})
    since = older.created_at + timedelta(milliseconds=1)
    await bench.destroy((await bench.release(site, {"app.js": SCRIPT})).id)
    await bench.processing(site, {"app.js": SCRIPT})
    await bench.announce(site, {"index.html": PAGE})
    await lose(bench, SCRIPT)
    assert await missing_files(bench.store, bench.objects, since=since) == []
    found = await missing_files(bench.store, bench.objects, since=older.created_at)
    assert found == [MissingFiles(site.id, older.id, ["app.js"])]


async def test_a_deploy_whose_tree_cannot_be_read_is_named_and_the_search_goes_on(
    bench: Bench,
) -> None:
    site = await bench.site()
    since = bench.clock.now()
    unlisted = await bench.release(site, {"index.html": PAGE})
    short = await bench.release(site, {"index.html": SCRIPT})
    await bench.objects.delete([tree_key(unlisted.metadata.tree or "")])
    await lose(bench, SCRIPT)
    found = await missing_files(bench.store, bench.objects, since=since)
    assert {item.deploy_id: (item.paths, item.tree_unreadable) for item in found} == {
        unlisted.id: ([], True),
        short.id: (["index.html"], False),
    }
