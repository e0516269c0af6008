"""What `recover apply` costs beside a bare `bulk_write`, and how much memory `recover find` takes.

    .venv/bin/python benchmarks/recover.py [--deploys 2000] [--rounds 5] [--least 0.7]
                                           [--found 1000000] [--most-mb 300]

Fills one server (BLACKSTART_MONGODB_URI, or an embedded one) with deploys and
writes a plan that gives each its metadata back. Then each round destroys all
metadata twice: once the plan is applied, journal and comparisons and all, and once
the same updates go out as one unordered `bulk_write`, in an order that alternates.
A third time they go out by `_id` alone, comparing nothing, which is a limit that
no safe apply has to meet.

At last `find` goes through a million deploys of 5,000 sites, one in a hundred of
them broken. They are made up in another process, as are their trees, of which
there are more than `find` remembers. Ends with status 1 when the median ratio of
`bulk_write` to apply, or the memory, misses its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Collection
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pymongo import UpdateOne

from blackstart.clock import WallClock
from blackstart.model import Plan, Site, Tree, TreeEntry
from blackstart.recovery.apply import Applier, Deeds, Runs, SiteSteps
from blackstart.recovery.apply.change import Swap
from blackstart.recovery.apply.deeds import update_of
from blackstart.recovery.find import find
from blackstart.recovery.plan import Entry, Header, PlanFile
from blackstart.recovery.plan.file import encode_entry, write_plan
from blackstart.recovery.sources import Route
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.metadata import connect
from made import Made, served
from snapshots import START, filled_store

DATABASE = "benchmark-recover"
LOST = {"migrated": True}
SITES = 5_000
TREES = 100_000
FILES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description="Time apply, and weigh find.")
    parser.add_argument("--deploys", type=int, default=2_000, help="to apply a plan to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--least", type=float, default=0.7, help="ratio of bulk_write to apply")
    parser.add_argument("--found", type=int, default=1_000_000, help="deploys that find looks at")
    parser.add_argument("--most-mb", type=float, default=300, help="memory of find")
    arguments = parser.parse_args()
    # First, since memory that was once taken is not given back.
    found = not arguments.found or _weigh(arguments.found, arguments.most_mb)
    applied = not arguments.rounds or asyncio.run(_apply(arguments))
    sys.exit(0 if found and applied else 1)


async def _apply(arguments: argparse.Namespace) -> bool:
    with tempfile.TemporaryDirectory() as plans:
        async with filled_store(DATABASE, arguments.deploys) as store:
            took_s = await _rounds(store, Path(plans) / "plan.json", arguments.rounds)
    ratios = {
        name: [one / apply for one, apply in zip(took_s[name], took_s["apply"], strict=True)]
        for name in ("bulk", "blind")
    }
    for name, each in ratios.items():
        median = statistics.median(each)
        print(f"{name} / apply: median {median:.2f} ({min(each):.2f} to {max(each):.2f})")
    return statistics.median(ratios["bulk"]) >= arguments.least


async def _rounds(store: MetadataStore, path: Path, rounds: int) -> dict[str, list[float]]:
    """How long each way took, by round."""
    deploys = store.database["deploys"]
    good = {each["_id"]: each["metadata"] async for each in deploys.find({}, {"metadata": 1})}
    swaps = [_swap(_id, metadata) for _id, metadata in good.items()]
    _write_plan(path, swaps)
    ways = {
        "apply": lambda runs: _apply_plan(store, path, runs),
        "bulk": lambda _: deploys.bulk_write([update_of(each) for each in swaps], ordered=False),
        "blind": lambda _: deploys.bulk_write(
            [UpdateOne({"_id": each.deploy_id}, {"$set": each.put}) for each in swaps],
            ordered=False,
        ),
    }
    took_s: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in sorted(ways, reverse=number % 2 == 1):
            await deploys.update_many({}, {"$set": {"metadata": LOST}})
            with tempfile.TemporaryDirectory() as runs:
                took_s[name].append(await _timed(ways[name](Path(runs))))
            again = {each["_id"]: each["metadata"] async for each in deploys.find()}
            assert again == good, name
        print(", ".join(f"{name} {took_s[name][-1]:.2f} s" for name in ways), flush=True)
    return took_s


def _swap(deploy_id: str, metadata: dict[str, Any]) -> Swap:
    return Swap(deploy_id, {"state": "ready", "metadata": LOST}, {"metadata": metadata})


async def _timed(work: Awaitable[Any]) -> float:
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


def _write_plan(path: Path, swaps: Collection[Swap]) -> None:
    header = Header("bench", DATABASE, START, len(swaps), {"snapshot": len(swaps)}, [])
    write_plan(path, header, (encode_entry(_entry(each)) for each in swaps))


def _entry(swap: Swap) -> Entry:
    return Entry(
        deploy_id=swap.deploy_id,
        site_id=f"{0:024x}",
        site="docs",
        plan="pro",
        number=1,
        shown=False,
        route=Route.SNAPSHOT,
        source="snapshot 20170202T100300000Z-4f1c22",
        before=swap.expect,
        after=swap.put,
        evidence=["the snapshot has this deploy", "tree and blobs are there"],
    )


async def _apply_plan(store: MetadataStore, path: Path, runs: Path) -> None:
    unused: Any = None
    applier = Applier(
        DATABASE,
        Deeds(store),
        SiteSteps(store, unused, unused),
        Runs(runs),
        clock=WallClock(),
        events=lambda action, subject, **details: None,
    )
    with PlanFile(path) as plan:
        report = await applier.apply(plan)
    assert report.tally.smooth


def _weigh(count: int, most_mb: float) -> bool:
    """Whether find stays below the limit; what is made up is made up by another process."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(count, theirs), daemon=True)
    process.start()
    try:
        uri = ours.recv()
        before_mb = _peak_mb()
        start = time.perf_counter()
        kinds = asyncio.run(_find(uri))
        took_s = time.perf_counter() - start
    finally:
        ours.send("end")
        process.join()
    found = ", ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))
    print(f"find over {count:,} deploys: {found}")
    print(
        f"{took_s:.0f} s, {count / took_s:,.0f} deploys/s; "
        f"at most {_peak_mb():.0f} MB, {before_mb:.0f} MB of them before it began",
        flush=True,
    )
    return _peak_mb() <= most_mb


def _serve(count: int, pipe: Connection) -> None:
    async def serve() -> None:
        made = {"sites": (SITES, _site), "deploys": (count, _deploy)}
        async with served(Made(made), DATABASE) as uri:
            pipe.send(uri)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(serve())


async def _find(uri: str) -> Counter[str]:
    objects = _MadeTrees(ObjectStore.open("memory://").backend)
    async with connect(uri, DATABASE) as store:
        return Counter([each.kind async for each in find(store, objects)])


class _MadeTrees(ObjectStore):
    """Five files to a tree; one blob in a hundred thousand never arrived."""

    async def get_tree(self, tree_id: str) -> Tree:
        number = int(tree_id, 16)
        entries = {
            f"page-{each}.html": TreeEntry(f"{number * FILES + each:040x}", 1_000)
            for each in range(FILES)
        }
        return Tree(entries)

    async def stat_blobs(self, sha1s: Collection[str]) -> dict[str, int]:
        return {sha1: 1_000 for sha1 in sha1s if int(sha1, 16) % 100_000}


def _site(number: int) -> dict[str, Any]:
    plan = list(Plan)[number % len(Plan)]
    site = Site(
        id=f"{number:024x}",
        name=f"site-{number}",
        plan=plan,
        repo=None,
        published_deploy_id=f"{number:024x}",
        created_at=START,
    )
    return site.to_mongo()


def _deploy(number: int) -> dict[str, Any]:
    at = START + timedelta(seconds=number)
    metadata = {
        "tree": f"{number % TREES:064x}",
        "completed_at": at,
        "file_count": FILES,
        "byte_count": FILES * 1_000,
        "pending_uploads": [],
    }
    return {
        "_id": f"{number:024x}",
        "site_id": f"{number % SITES:024x}",
        "number": number // SITES + 1,
        "state": "ready",
        "branch": "main",
        "title": f"Say more about part {number}",
        "commit_ref": f"{number:040x}",
        "build_id": f"{number:024x}",
        "created_at": at,
        "metadata": LOST if number % 100 == 7 else metadata,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
