"""The last reader: fetches everything once more at the end, as the oracle's eyes."""

from __future__ import annotations

from blackstart.drills.oracle import Served
from blackstart.drills.world.fleet import FleetSite
from blackstart.drills.world.traffic import fetch
from blackstart.drills.world.world import World
from blackstart.model import DeployState


async def read_everything(world: World) -> None:
    """Every page of every site through a node, and every file of each deploy since the fault."""
    new = await _new_deploys(world)
    planned = {site.name: site for site in world.fleet.sites}
    for index, site in enumerate(await world.services.store.sites.all()):
        shown = site.published_deploy_id or ""
        ours = planned[site.name]
        for path, _ in ours.paths:
            page = await _read(world, index, ours, site.name, shown, path)
            world.oracle.site_pages.append(page)
        for deploy_id, commit in new.get(site.id, ()):
            host = site.name if deploy_id == shown else f"{deploy_id}--{site.name}"
            for file in sorted(world.oracle.commits[commit].files):
                page = await _read(world, index, ours, host, deploy_id, f"/{file}")
                world.oracle.deploy_pages.append(page)


async def _new_deploys(world: World) -> dict[str, list[tuple[str, str]]]:
    """Site id -> (deploy, commit) of every ready deploy made since the fault."""
    found: dict[str, list[tuple[str, str]]] = {}
    async for raw in world.services.store.deploys.scan_raw():
        if raw["state"] == DeployState.READY and raw["created_at"] >= world.fault_time:
            found.setdefault(raw["site_id"], []).append((str(raw["_id"]), raw["commit_ref"]))
    return found


async def _read(
    world: World, index: int, site: FleetSite, label: str, deploy_id: str, path: str
) -> Served:
    nodes = world.services.nodes
    response, body = await fetch(nodes[index % len(nodes)], label, path)
    blob = site.blob_id(body) if response.status == 200 else None
    return Served(label, deploy_id, path, response.status, blob)
