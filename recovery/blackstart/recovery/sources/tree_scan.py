"""The trees in the bucket as a source: those that say whose they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

from blackstart.model import DeployState, InvalidDeploy
from blackstart.recovery.sources.source import Broken, Offer, Refusal, Route, named
from blackstart.recovery.tree_scan import FoundTree, scan_trees
from blackstart.store import ObjectStore

_BEFORE_ANY = (DeployState.NEW, DeployState.UPLOADING)


class TreeScanSource:
    """Every tree in the object store is read; what is kept are those of the deploys asked for."""

    route = Route.TREE_SCAN
    name = "trees in the bucket"

    def __init__(self, objects: ObjectStore) -> None:
        self.problems: list[str] = []
        self._objects = objects

    async def offers(self, broken: Broken) -> AsyncIterator[Offer | Refusal]:
        scan = scan_trees(self._objects)
        found: dict[str, list[FoundTree]] = {}
        async for tree in scan:
            if tree.deploy_id in broken:
                found.setdefault(tree.deploy_id, []).append(tree)
        self.problems = named([problem.text for problem in scan.problems])
        for deploy_id, deploy in broken.items():
            own = [tree for tree in found.get(deploy_id, []) if _fits(deploy, tree)]
            if not own:
                yield Refusal(deploy_id, f"{self.name}: none says that it is of the deploy")
            for tree in own:
                yield _offer(deploy, tree, len(own))


def _fits(deploy: InvalidDeploy, tree: FoundTree) -> bool:
    return (
        tree.site_id == deploy.site_id
        and tree.commit_ref == deploy.raw.get("commit_ref")
        and deploy.state not in _BEFORE_ANY
    )


def _offer(deploy: InvalidDeploy, tree: FoundTree, candidates: int) -> Offer:
    """What the tree says is certain; of several trees the right one is not."""
    evidence = f"tree {tree.tree_id[:12]} says that it is of the deploy"
    if candidates == 1:
        return Offer(deploy.id, {"tree": tree.tree_id}, evidence)
    evidence += f", as {candidates - 1} more do"
    return Offer(deploy.id, {}, evidence, guesses={"tree": tree.tree_id})
