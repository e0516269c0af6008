"""The scan of the bucket: pointers found with nothing else left, and trees that cannot tell."""

from __future__ import annotations

import hashlib

import pytest

from blackstart.errors import StorageError
from blackstart.model import Tree, TreeEntry, TreeOf
from blackstart.recovery import tree_scan
from blackstart.recovery.tree_scan import FoundTree, TreeProblemKind, scan_trees
from blackstart.store import ObjectStore
from blackstart.store.objects import tree_key


def tree_of(number: int, *, owner: bool = True) -> Tree:
    files = {f"{page}.html": TreeEntry(f"{number:040x}", 10 * number) for page in range(number)}
    return Tree(files, TreeOf(f"s{number}", f"d{number}", f"c{number}") if owner else None)


async def scanned(objects: ObjectStore) -> tuple[list[FoundTree], tree_scan.TreeScan]:
    scan = scan_trees(objects)
    return [found async for found in scan], scan


async def test_every_tree_tells_whose_it_is(objects: ObjectStore) -> None:
    trees = [tree_of(number) for number in range(1, 101)]
    for tree in trees:
        await objects.put_tree(tree)
    found, scan = await scanned(objects)
    assert [each.tree_id for each in found] == sorted(tree.id for tree in trees)
    assert {each.deploy_id: (each.site_id, each.commit_ref) for each in found} == {
        f"d{number}": (f"s{number}", f"c{number}") for number in range(1, 101)
    }
    third = next(each for each in found if each.deploy_id == "d3")
    assert (third.file_count, third.byte_count) == (3, 90)
    assert scan.problems == []
    assert scan.seen == 100


async def test_trees_without_an_owner_are_one_problem(objects: ObjectStore) -> None:
    for number in range(1, 6):
        await objects.put_tree(tree_of(number, owner=number < 3))
    found, scan = await scanned(objects)
    assert sorted(each.deploy_id for each in found) == ["d1", "d2"]
    (problem,) = scan.problems
    assert problem.kind is TreeProblemKind.WITHOUT_OWNER
    assert problem.text.startswith("3 trees do not say whose they are, such as ")


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"files":{}'])
async def test_a_damaged_tree_is_named_and_the_others_are_found(
    objects: ObjectStore, damage: bytes
) -> None:
    for number in (1, 2, 3):
        await objects.put_tree(tree_of(number))
    await objects.put(tree_key(tree_of(2).id), damage)
    found, scan = await scanned(objects)
    assert sorted(each.deploy_id for each in found) == ["d1", "d3"]
    assert [(each.kind, each.tree_id) for each in scan.problems] == [
        (TreeProblemKind.DAMAGED, tree_of(2).id)
    ]


async def test_bytes_that_have_their_digest_and_are_no_tree_are_named(objects: ObjectStore) -> None:
    data = b"[" * 100_000
    tree_id = hashlib.sha256(data).hexdigest()
    await objects.put(tree_key(tree_id), data)
    found, scan = await scanned(objects)
    assert found == []
    assert [problem.text for problem in scan.problems] == [f"tree {tree_id} is no tree"]


async def test_a_tree_under_another_name_is_damaged(objects: ObjectStore) -> None:
    await objects.put("trees/00/short", tree_of(1).encode())
    found, scan = await scanned(objects)
    assert found == []
    assert scan.problems[0].kind is TreeProblemKind.DAMAGED


async def test_what_the_object_store_does_not_give_is_not_known(objects: ObjectStore) -> None:
    class Failing(ObjectStore):
        async def get(self, key: str) -> bytes:
            if key == tree_key(tree_of(2).id):
                raise StorageError("a disk is on fire")
            return await super().get(key)

        async def list_keys(self, prefix: str) -> list[str]:
            if prefix == f"trees/{tree_of(3).id[:2]}/":
                raise StorageError("the bucket is on fire")
            return await super().list_keys(prefix)

    for number in (1, 2, 3):
        await objects.put_tree(tree_of(number))
    found, scan = await scanned(Failing(objects.backend))
    assert [each.deploy_id for each in found] == ["d1"]
    assert {problem.kind for problem in scan.problems} == {TreeProblemKind.UNREADABLE}
    assert len(scan.problems) == 2


async def test_few_trees_are_read_at_a_time(objects: ObjectStore) -> None:
    class Counting(ObjectStore):
        now = most = 0

        async def get(self, key: str) -> bytes:
            self.now += 1
            self.most = max(self.most, self.now)
            data = await super().get(key)
            self.now -= 1
            return data

    for number in range(1, 200):
        await objects.put_tree(tree_of(number % 50 + 1, owner=number % 2 == 0))
    counting = Counting(objects.backend)
    await scanned(counting)
    assert 1 <= counting.most <= tree_scan.TREES_AT_ONCE


async def test_problems_are_named_up_to_a_number_and_then_counted(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_scan, "NAMED_PROBLEMS", 4)
    for number in range(10):
        await objects.put(f"trees/{number:02x}/damaged", b"x")
    _, scan = await scanned(objects)
    assert len(scan.problems) == 5
    assert scan.problems[-1].text == "6 more of this kind"
