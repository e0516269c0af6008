"""Running a held write: at most once and never off the record, wherever the guard is killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from blackstart.clock import Clock
from blackstart.durable import replace_file
from blackstart.errors import BlackstartError, ConflictError, StorageError
from blackstart.guard.logins import Login
from blackstart.guard.requests import (
    Asked,
    Book,
    Request,
    RequestFolder,
    Runner,
    Saved,
    State,
)
from blackstart.seed import Seed

People = dict[str, Login]
DIGEST = "d" * 64
ANSWER = {"ok": 1.0, "n": 52, "nModified": 52}
ENDS = {State.EXECUTED, State.NOT_EXECUTED, State.UNKNOWN}


class KilledError(BaseException):
    """The guard's process is gone; nothing of it goes on."""


class Life:
    """Counts the steps of a process, and ends it before or after one of them."""

    def __init__(self, *, dies_at: int | None = None, after: bool = False) -> None:
        self.steps = 0
        self._dies_at = dies_at
        self._after = after
        self._dead = False

    def step(self, act: Callable[[], Any]) -> Any:
        if self._dead:
            raise KilledError
        self.steps += 1
        if self.steps != self._dies_at:
            return act()
        self._dead = True
        if self._after:
            act()
        raise KilledError


class World:
    """What outlives the guard: its folder, the database's count of runs, the audit lines."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self.runs: list[int] = []
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.answer: Mapping[str, Any] = ANSWER
        self.breaks: str = ""

    def book(self, life: Life) -> Book:
        def replace(path: Path, data: bytes) -> None:
            life.step(lambda: replace_file(path, data))

        return Book(RequestFolder(self.folder, replace=replace), self.clock)

    def runner(self, life: Life) -> Runner:
        world = self

        class Trail:
            async def record(self, action: str, **details: Any) -> None:
                if world.breaks == "trail":
                    raise StorageError("the audit trail cannot be written")
                life.step(lambda: world.lines.append((action, details)))

        async def save(request: Request) -> Saved:
            if self.breaks == "snapshot":
                raise StorageError("no snapshot")
            life.step(lambda: None)
            return Saved(f"s{request.number}", f"restore s{request.number}")

        return Runner(self.book(life), Trail(), save)

    def send(self, number: int, life: Life) -> Any:
        async def send() -> Mapping[str, Any]:
            if self.breaks == "database":
                raise ConnectionResetError("the database is gone")
            life.step(lambda: self.runs.append(number))
            return self.answer

        return send

    def recorded(self, action: str) -> list[int]:
        return [details["request"] for name, details in self.lines if name == action]


@pytest.fixture
def world(tmp_path: Path, manual_clock: Any) -> World:
    return World(tmp_path / "requests", manual_clock)


async def go(world: World, life: Life, people: People, asked: Asked) -> Mapping[str, Any]:
    """From a held write to its answer."""
    book = world.book(life)
    number = book.file(asked).number
    if book.get(number).state is State.HELD:
        book.approve(number, people["bob"], "fine", digest=asked.digest)
    runner = world.runner(life)
    send = world.send(number, life)
    return await runner.run(number, people["ada"], asked.digest, (), send)


async def test_an_approved_write_runs_once_with_snapshot_and_record(
    world: World, people: People, asked: Asked
) -> None:
    assert await go(world, Life(), people, asked) == ANSWER
    request = world.book(Life()).get(1)
    assert (request.state, request.outcome) == (State.EXECUTED, "52 documents, 52 modified")
    assert (request.snapshot, request.undo) == ("s1", "restore s1")
    assert [name for name, _ in world.lines] == ["write.sent", "write.ended"]
    with pytest.raises(ConflictError):
        await world.runner(Life()).run(1, people["ada"], DIGEST, (), world.send(1, Life()))
    assert world.runs == [1]


async def test_two_at_once_run_it_once(world: World, people: People, asked: Asked) -> None:
    book = world.book(Life())
    book.file(asked)
    book.approve(1, people["bob"], "fine", digest=DIGEST)
    tries = (
        world.runner(Life()).run(1, people["ada"], DIGEST, (), world.send(1, Life()))
        for _ in range(8)
    )
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(each == ANSWER for each in found) == 1
    assert sum(isinstance(each, ConflictError) for each in found) == 7
    assert world.runs == [1]


@pytest.mark.parametrize("what", ["snapshot", "trail"])
async def test_without_snapshot_or_record_nothing_is_written(
    world: World, people: People, asked: Asked, what: str
) -> None:
    world.breaks = what
    with pytest.raises(StorageError):
        await go(world, Life(), people, asked)
    assert world.runs == []
    assert world.book(Life()).get(1).state is State.NOT_EXECUTED


async def test_a_database_that_dies_leaves_it_unknown(
    world: World, people: People, asked: Asked
) -> None:
    world.breaks = "database"
    with pytest.raises(ConnectionResetError):
        await go(world, Life(), people, asked)
    request = world.book(Life()).get(1)
    assert request.state is State.UNKNOWN
    assert "the database is gone" in request.outcome


async def test_a_client_that_goes_away_while_it_runs_leaves_it_unknown(
    world: World, people: People, asked: Asked
) -> None:
    begun = asyncio.Event()

    async def send() -> Mapping[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    book = world.book(Life())
    book.file(asked)
    book.approve(1, people["bob"], "fine", digest=DIGEST)
    task = asyncio.create_task(world.runner(Life()).run(1, people["ada"], DIGEST, (), send))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert book.get(1).state is State.UNKNOWN


async def test_a_refusal_by_the_database_is_the_answer(
    world: World, people: People, asked: Asked
) -> None:
    world.answer = {"ok": 0.0, "code": 9, "errmsg": "unknown operator"}
    assert await go(world, Life(), people, asked) == world.answer
    assert world.book(Life()).get(1).state is State.NOT_EXECUTED


async def test_what_found_no_connection_was_not_executed(
    world: World, people: People, asked: Asked
) -> None:
    book = world.book(Life())
    book.file(asked)
    book.approve(1, people["bob"], "fine", digest=DIGEST)
    run = await world.runner(Life()).take_up(1, people["ada"], DIGEST)
    await run.not_sent()
    assert book.get(1).state is State.NOT_EXECUTED
    assert world.recorded("write.ended") == [1]


async def live_on(world: World, people: People, asked: Asked) -> None:
    """After a crash: the guard starts, the client asks again, and a reviewer approves again."""
    life = Life()
    await world.runner(life).recover()
    with suppress(BlackstartError):
        await go(world, life, people, asked)


def check(world: World, seen: str) -> None:
    requests = world.book(Life()).all()
    assert len(world.runs) == len(set(world.runs)), f"{seen}: a write ran twice"
    for request in requests:
        ran = request.number in world.runs
        assert request.state in ENDS, f"{seen}: {request.number} is {request.state}"
        assert ran or request.state is not State.EXECUTED, seen
        assert not ran or request.state is not State.NOT_EXECUTED, seen
        if ran:
            assert request.number in world.recorded("write.sent"), f"{seen}: off the record"
            assert request.snapshot, seen
        # A line is written behind its state: a crash between the two leaves the state alone.
        assert request.state is not State.EXECUTED or request.sent_at is not None, seen


async def test_killed_at_any_step_it_never_runs_twice_and_ends_clearly(
    tmp_path: Path, people: People, asked: Asked, manual_clock: Any
) -> None:
    whole = Life()
    await go(World(tmp_path / "whole", manual_clock), whole, people, asked)
    assert whole.steps > 8
    for step in range(1, whole.steps + 1):
        for after in (False, True):
            world = World(tmp_path / f"{step}-{after}", manual_clock)
            with pytest.raises(KilledError):
                await go(world, Life(dies_at=step, after=after), people, asked)
            await live_on(world, people, asked)
            check(world, f"killed {'after' if after else 'before'} step {step}")


async def chaos(folder: Path, seed: Seed, clock: Any, people: People, asked: Asked) -> None:
    """A guard that is killed again and again, while several writes are asked for."""
    world, draw = World(folder, clock), seed.random
    for _ in range(draw.randint(2, 5)):
        world.answer = draw.choice([ANSWER, {"ok": 0.0, "code": 9}, {"ok": 0.0, "code": 50}])
        world.breaks = draw.choice(["", "", "", "snapshot", "database"])
        life = Life(dies_at=draw.randint(1, 24), after=draw.random() < 0.5)
        try:
            await world.runner(life).recover()
            for digest in draw.sample("abc", 2):
                each = asked.model_copy(update={"digest": digest * 64})
                with suppress(BlackstartError, ConnectionError):
                    await go(world, life, people, each)
        except KilledError:
            pass
        clock.advance(draw.choice([1.0, 2_000.0]))
    world.breaks = ""
    await world.runner(Life()).recover()
    book = world.book(Life())
    for request in book.all():
        if request.is_open:
            book.withdraw(request.number, people["ada"])
    for request in book.all():
        if request.number in world.runs:
            assert request.state in (State.EXECUTED, State.UNKNOWN, State.NOT_EXECUTED)
            refused = request.state is State.NOT_EXECUTED
            assert not refused or "refused it" in request.outcome
            assert request.number in world.recorded("write.sent")
        else:
            assert request.state is not State.EXECUTED
    assert len(world.runs) == len(set(world.runs))


async def test_a_guard_killed_again_and_again_runs_each_approval_once_at_most(
    tmp_path: Path, people: People, asked: Asked, manual_clock: Any
) -> None:
    for root in range(40):
        await chaos(tmp_path / str(root), Seed(root), manual_clock, people, asked)
