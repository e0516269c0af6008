"""The pointer log as a source: the tree of every deploy that got one while the log was kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from blackstart.model import DeployState, InvalidDeploy
from blackstart.recovery.sources.source import Broken, Offer, Refusal, Route, named
from blackstart.store import ObjectStore
from blackstart.store.pointers import LoggedPointer, newest_pointers, read_pointer_log

_BEFORE_ANY = (DeployState.NEW, DeployState.UPLOADING)


class PointerLogSource:
    """All segments in the object store, and those that are still in a local folder."""

    route = Route.POINTER_LOG
    name = "pointer log"

    def __init__(self, objects: ObjectStore, folder: Path | None) -> None:
        self.problems: list[str] = []
        self._objects = objects
        self._folder = folder

    async def offers(self, broken: Broken) -> AsyncIterator[Offer | Refusal]:
        """The log is read once, whatever its length; what is kept are the pointers asked for."""
        reading = read_pointer_log(self._objects, self._folder)
        pointers = await newest_pointers(reading, broken.keys())
        self.problems = named([problem.text for problem in reading.problems])
        if not any(writer.records for writer in reading.writers.values()):
            self.problems.append("it holds no pointers")
            return
        for deploy_id, deploy in broken.items():
            pointer = pointers.get(deploy_id)
            if pointer is None:
                yield Refusal(deploy_id, f"{self.name}: it has no pointer of the deploy")
            else:
                yield self._judge(deploy, pointer)

    def _judge(self, deploy: InvalidDeploy, pointer: LoggedPointer) -> Offer | Refusal:
        if pointer.site_id != deploy.site_id or pointer.number != deploy.number:
            return Refusal(deploy.id, f"{self.name}: its pointer is of another site or number")
        if deploy.state in _BEFORE_ANY:
            return Refusal(deploy.id, f"{self.name}: the deploy is {deploy.state}, without a tree")
        certain = {
            "tree": pointer.tree,
            "file_count": pointer.file_count,
            "byte_count": pointer.byte_count,
        }
        guesses = {"completed_at": pointer.at} if deploy.state == DeployState.READY else {}
        where = f"number {pointer.seq} in {pointer.segment}"
        evidence = f"its pointer was set at {pointer.at:%Y-%m-%d %H:%M:%S} UTC: {where}"
        return Offer(deploy.id, certain, evidence, guesses=guesses)
