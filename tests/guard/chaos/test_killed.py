"""`blackstart guard` as a process, with SIGKILL for guard, database or client in the middle.

Each test kills one of them when a held write comes to some step, starts it again,
and holds what the request says against what the documents say.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random

import pytest
from pymongo.errors import PyMongoError
from tests.guard.chaos.processes import Machines, machines

from blackstart.guard.audit import read_trail
from blackstart.guard.requests import Request, State
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.ledger import ProblemKind

SEEDS = range(1, 1 + int(os.environ.get("BLACKSTART_SWEEP", "30")))
VICTIMS = ("guard", "database", "client")
STEPS: dict[str, Callable[[Request], bool]] = {
    "held": lambda request: True,
    "approved": lambda request: request.state is not State.HELD,
    "taken up": lambda request: request.state not in (State.HELD, State.APPROVED),
    "saved": lambda request: bool(request.snapshot),
    "sent": lambda request: request.sent_at is not None,
    "ended": lambda request: not request.is_open,
}
MOST_DELAY_S = 0.03


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("machines")) as made:
        yield made


def approve(running: Machines, request: Request) -> None:
    """What bob says, if there is somebody to hear it."""
    with suppress(PyMongoError):
        more = {"digest": request.digest, "reason": "agreed"}
        running.say("bob", "guardApprove", request.number, **more)


def kill_at(running: Machines, victim: str, step: str, delay_s: float) -> int:
    """Ask for the write and have it approved; kill at the step. Returns the request's number."""
    known = running.newest()
    running.start_client()
    running.wait_for(lambda: running.request(known + 1))
    number = known + 1
    request = running.known(number)
    saying = threading.Thread(target=approve, args=(running, request))
    if step != "held":
        saying.start()

    def reached() -> bool:
        now = running.known(number)
        return STEPS[step](now) or not now.is_open

    running.wait_for(reached)
    time.sleep(delay_s)
    running.kill(victim)
    if saying.ident is not None:
        saying.join()
    return number


def mend(running: Machines) -> None:
    """Start again what was killed; the client is over in any case."""
    if "guard" not in running.running:
        running.start_guard()
    if "database" not in running.running:
        running.start_database()
    if "client" in running.running:
        running.running.pop("client").wait(timeout=60)


def check(running: Machines, number: int, seen: str) -> None:
    """What a request says is what became of the documents."""
    state, effects = running.settled(number)
    assert max(effects) <= 1, f"{seen}: it ran twice"
    if state is State.EXECUTED:
        assert effects == {1}, f"{seen}: executed, and it ran on some only: {effects}"
    elif state is not State.UNKNOWN:
        assert effects == {0}, f"{seen}: {state}, and it ran"
    else:
        sent_at = running.known(number).sent_at
        assert sent_at is not None, f"{seen}: unknown, and it was never sent"


def ask_again(running: Machines, number: int, seen: str) -> None:
    """Only what was approved and not taken up runs; all else is held (anew)."""
    before, effects = running.settled(number)
    client = running.start_client()
    # What was approved may have run for the client that is gone; then this one is held anew.
    running.wait_for(lambda: refuse(running) or client.poll() is not None)
    if before is State.APPROVED:
        assert not running.known(number).is_open, f"{seen}: approved, and it did not run"
        check(running, number, f"{seen}, asked again")
    else:
        newest = running.newest()
        assert newest > number or before is State.HELD, f"{seen}: nobody was asked anew"
        assert running.known(newest).state is State.REJECTED, seen
        if before is State.UNKNOWN:  # the database may not have heard of it until now
            check(running, number, f"{seen}, asked again")
        else:
            assert running.effects() == effects, f"{seen}: it ran although nobody approved it"
    running.running.pop("client")


def refuse(running: Machines) -> None:
    """What is held is rejected, also what comes when the one before was rejected already."""
    newest = running.newest()
    request = running.request(newest)
    if request is not None and request.state is State.HELD:
        with suppress(PyMongoError):
            running.say("bob", "guardReject", newest, reason="once is enough")


async def look_at_trail(running: Machines) -> None:
    """The trail is whole, and has each write that was sent, with its snapshot."""
    places = running.places
    objects = ObjectStore.open(str(places.folder / "objects"))
    reading = read_trail(objects, places.audit, places.heads)
    lines = [line async for line in reading]
    assert {each.kind for each in reading.problems} <= {ProblemKind.TORN_LINE}, reading.problems
    sent = [line for line in lines if line.action == "write.sent"]
    numbers = [line.details["request"] for line in sent]
    assert len(numbers) == len(set(numbers))
    assert all(line.details["snapshot"] for line in sent)
    for number in range(1, running.newest() + 1):
        request = running.request(number)
        assert request is None or request.sent_at is None or number in numbers


def lose(running: Machines, victim: str, step: str, delay_s: float) -> None:
    seen = f"{victim} killed {delay_s:.3f} s behind {step}"
    running.begin_anew()
    try:
        number = kill_at(running, victim, step, delay_s)
    finally:
        mend(running)
    check(running, number, seen)
    ask_again(running, number, seen)
    asyncio.run(look_at_trail(running))


def test_a_guard_that_is_killed_in_the_middle_runs_no_write_twice(running: Machines) -> None:
    lose(running, "guard", "sent", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["database", "client"])
@pytest.mark.parametrize("step", STEPS)
def test_what_is_killed_at_a_step_runs_no_write_twice(
    running: Machines, victim: str, step: str
) -> None:
    lose(running, victim, step, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_killed_at_any_moment_runs_no_write_twice(running: Machines, seed: int) -> None:
    draw: Random = Seed(seed, "kills").random
    for victim in VICTIMS:
        lose(running, victim, draw.choice(sorted(STEPS)), draw.random() * MOST_DELAY_S)
