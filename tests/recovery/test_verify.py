"""Tests of the account afterwards: each affected deploy is called what it is, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.recovery.conftest import PAGE, Recovery

from blackstart.errors import StorageError
from blackstart.recovery.verify import Affected, State, Verifier
from blackstart.store import ObjectStore
from blackstart.store.objects import blob_key

if TYPE_CHECKING:
    from tests.conftest import Bench


async def test_each_deploy_is_called_what_became_of_it(bench: Bench, recovery: Recovery) -> None:
    bench.safeguards.enable("tolerant-publish")
    sites = {name: await bench.site(name) for name in ("back", "newer", "older", "lost")}
    for name in ("back", "newer", "older"):
        await bench.release(sites[name], PAGE)
    shown = {name: await bench.release(site, PAGE) for name, site in sites.items()}
    copy = await recovery.copy()
    for name in ("newer", "older", "lost"):
        del copy.documents[shown[name].id]
    for deploy in shown.values():
        await bench.destroy(deploy.id)
    path, _ = await recovery.plan(copy.source())
    before = await recovery.verify(path)
    assert {each.state for each in before.values()} == {State.LOST}
    assert "by snapshot, was not taken" in before[shown["back"].id].why
    await bench.release(sites["newer"], PAGE)
    await recovery.apply(path)
    after = await recovery.verify(path)
    assert {name: after[deploy.id].state.value for name, deploy in shown.items()} == {
        "back": "restored",
        "newer": "superseded",
        "older": "reverted",
        "lost": "lost",
    }
    assert "its site shows deploy #3" in after[shown["newer"].id].why
    assert "no good deploy left" in after[shown["lost"].id].why


async def test_what_is_valid_but_misses_files_is_not_called_restored(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    deploy = await bench.release(site, PAGE)
    copy = await recovery.copy()
    await bench.destroy(deploy.id)
    path, _ = await recovery.plan(copy.source())
    await recovery.apply(path)
    tree = await bench.objects.get_tree(deploy.metadata.tree or "")
    key = blob_key(tree.files["about.html"].sha1)
    await bench.objects.put(key, b"damaged")
    assert (await recovery.verify(path))[deploy.id].state is State.RESTORED
    assert (await recovery.verify(path, deep=True))[deploy.id].state is State.LOST
    await bench.objects.delete([key])
    found = (await recovery.verify(path))[deploy.id]
    assert (found.state, found.why.split(";")[0]) == (State.LOST, "1 of its files are not there")


async def test_what_could_not_be_looked_at_is_unknown(bench: Bench, recovery: Recovery) -> None:
    deploy = await bench.release(await bench.site(), PAGE)

    class Away(ObjectStore):
        async def get_tree(self, tree_id: str) -> Any:
            raise StorageError("the bucket is away")

    verifier = Verifier(bench.store, Away(bench.objects.backend))
    affected = [Affected(deploy.id, deploy.site_id, 1), Affected("nothing", deploy.site_id, 9)]
    found = [each async for each in verifier.verify(affected)]
    assert [(each.state, each.why) for each in found] == [
        (State.UNKNOWN, "the bucket is away"),
        (State.UNKNOWN, "the bucket is away"),
    ]


async def test_a_deploy_that_somebody_else_brought_back_is_restored_and_that_is_said(
    bench: Bench, recovery: Recovery
) -> None:
    deploy = await bench.release(await bench.site(), PAGE)
    copy = await recovery.copy()
    await bench.destroy(deploy.id)
    path, _ = await recovery.plan(copy.source())
    await bench.store.database["deploys"].replace_one({"_id": deploy.id}, deploy.to_mongo())
    assert (await recovery.verify(path))[deploy.id].why == ""
    await bench.store.database["deploys"].update_one(
        {"_id": deploy.id}, {"$set": {"metadata.byte_count": 1}}
    )
    found = (await recovery.verify(path))[deploy.id]
    assert (found.state, found.why) == (State.RESTORED, "with other metadata than was planned")


async def test_a_site_that_is_gone_leaves_its_deploy_lost(bench: Bench, recovery: Recovery) -> None:
    site = await bench.site()
    deploy = await bench.release(site, PAGE)
    await bench.destroy(deploy.id)
    path, _ = await recovery.plan()
    await bench.store.sites.delete(site.id)
    found = (await recovery.verify(path))[deploy.id]
    assert (found.state, found.site) == (State.LOST, "")
    await bench.store.deploys.delete_of_site(site.id)
    found = (await recovery.verify(path))[deploy.id]
    assert (found.state, found.why.split(";")[0]) == (State.LOST, "its document is gone")
