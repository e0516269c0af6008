"""One drill's world: everything that lives in it, from the morning to the last check."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from blackstart.drills.journal import Journal
from blackstart.drills.oracle import Oracle
from blackstart.drills.world.clock import Actor, VirtualClock
from blackstart.drills.world.fleet import Fleet
from blackstart.drills.world.services import Services
from blackstart.drills.world.shell import Shell
from blackstart.drills.world.traffic import Visitors
from blackstart.recovery.snapshots import Snapshot, Snapshots
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed


@dataclass(frozen=True)
class World:
    """What the people of an incident can reach, and the oracle, whom they cannot ask.

    `folder` takes what they write down.
    """

    clock: VirtualClock
    seed: Seed
    journal: Journal
    fleet: Fleet
    services: Services
    snapshots: Snapshots
    visitors: Visitors
    oracle: Oracle
    safeguards: Safeguards
    shell: Shell
    t0: float
    folder: Path

    @property
    def guard_folder(self) -> Path:
        """Where a guard keeps requests and audit trail, if there is one."""
        return self.folder / "guard"

    @property
    def fault_time(self) -> datetime:
        """The moment of the fault."""
        return datetime.fromtimestamp(self.t0, UTC)

    def at(self, offset_s: float, name: str, act: Callable[[], Awaitable[None]]) -> Actor:
        """Have an actor do something `offset_s` seconds after the fault."""

        async def wait_and_act() -> None:
            await self.clock.sleep(self.t0 + offset_s - self.clock.time())
            await act()

        return self.clock.spawn(name, wait_and_act())

    async def take_snapshot(self) -> Snapshot:
        """Copy the deploys into the bucket, as the scheduled timer does."""
        snapshot = await self.snapshots.take(
            self.services.store.database, self.clock, self.seed.fork("snapshots")
        )
        self.journal("snapshot.taken", snapshot.id, deploys=snapshot.deploy_count)
        return snapshot
