"""mongosh, unmodified, on a mounted snapshot: the lines of docs/mount.md, and a write refused."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.conftest import Bench
from tests.recovery.mount.conftest import Mounted, mounted_on

from blackstart.recovery.snapshots import Snapshots
from blackstart.seed import Seed

pytestmark = pytest.mark.mongosh

VARIABLE = "BLACKSTART_MONGOSH"
DOCS = (Path(__file__).parents[3] / "docs" / "mount.md").read_text()
DOCUMENTED = re.findall(r"^mongosh --quiet \"\$URI\" --eval '([^']+)'$", DOCS, re.MULTILINE)
DEPLOY, SITE = "58936a8f1b2c3d4e5f607182", "58936a8f1b2c3d4e5f607181"
PATIENCE_S = 120.0

Shell = Callable[[Mounted, str], Awaitable[str]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a script in mongosh; returns what it printed. Skips where there is no mongosh."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder in which npm has installed mongosh")
    program = Path(folder) / "node_modules" / ".bin" / "mongosh"
    assert program.exists(), f"{VARIABLE}: npm has installed no mongosh in {folder}"
    config = tmp_path / ".mongodb" / "mongosh"
    config.mkdir(parents=True)
    (config / "config").write_text('{"enableTelemetry": false}')

    async def run(mounted: Mounted, script: str) -> str:
        uri = f"{mounted.uri.partition('?')[0]}blackstart?directConnection=true"
        process = await asyncio.create_subprocess_exec(
            program,
            *("--quiet", "--norc", uri, "--eval", script),
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "NO_COLOR": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return printed.decode()

    return run


@pytest.fixture
async def mounted(bench: Bench) -> Mounted:
    """A snapshot of a database with the site and the deploy of the documents, and one broken."""
    deploy = {"_id": DEPLOY, "site_id": SITE, "number": 1, "state": "ready"}
    await bench.store.database["deploys"].insert_many(
        [deploy | {"metadata": {"tree": "the tree"}}, {"_id": "b", "number": 2, "metadata": {}}]
    )
    snapshot = await Snapshots(bench.objects).take(bench.store.database, bench.clock, Seed(3))
    reader = await Snapshots(bench.objects).open(snapshot.id)
    async with mounted_on(reader, bench.clock) as mounted:
        yield mounted


@pytest.mark.skipif(shutil.which("node") is None, reason="mongosh needs Node")
async def test_the_documented_lines_find_what_there_is(mounted: Mounted, shell: Shell) -> None:
    said = [await shell(mounted, script) for script in DOCUMENTED]
    assert len(said) == 5
    assert "tree: 'the tree'" in said[0]
    assert f"_id: '{DEPLOY}'" in said[1]
    assert said[2].strip() == "1"
    assert said[3].strip() == "[ 'ready' ]"
    assert "'deploys'" in said[4]


@pytest.mark.skipif(shutil.which("node") is None, reason="mongosh needs Node")
async def test_a_write_is_refused_with_mongodb_s_code(mounted: Mounted, shell: Shell) -> None:
    said = await shell(
        mounted,
        "try { db.deploys.updateMany({}, {$set: {metadata: {}}}) } catch (e) {"
        " const why = e.originalError; print(why.code, why.message) };"
        " print(db.deploys.stats().count, db.version())",
    )
    first, second = said.strip().splitlines()
    assert first.startswith("20 update is not done")
    assert "read-only" in first
    assert second == "2 7.0.0"
