"""Tests of tokens: made, kept as digests, presented, and over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.control.tokens import TokenService
from blackstart.errors import NotFoundError, UnauthorizedError, UsageError
from blackstart.model import Scope
from blackstart.seed import Seed
from blackstart.store import MetadataStore

if TYPE_CHECKING:
    from tests.conftest import ManualClock

UNKNOWN = "0" * 24


@pytest.fixture
def tokens(store: MetadataStore, manual_clock: ManualClock) -> TokenService:
    return TokenService(store, manual_clock, Seed(3))


async def test_a_secret_is_presented_and_its_token_found(tokens: TokenService) -> None:
    made, secret = await tokens.create("ci", [Scope.DEPLOY])
    assert secret.startswith(f"bst_{made.id}_")
    assert len(secret) == len("bst_") + 24 + len("_") + 43
    assert await tokens.authenticate(secret) == made


async def test_the_database_never_sees_the_secret(
    tokens: TokenService, store: MetadataStore
) -> None:
    made, secret = await tokens.create("ci", [Scope.READ])
    kept = await store.database["tokens"].find_one({})
    assert secret[-43:] not in str(kept)
    assert made.digest not in repr(made)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text[:-1],
        lambda text: text + "A",
        lambda text: text.upper(),
        lambda text: f"bst_{UNKNOWN}_{text[-43:]}",
        lambda text: text + "\n",
        lambda text: "",
        lambda text: "bst_",
        lambda text: "é" * 72,
        lambda text: "\0",
    ],
)
async def test_anything_but_the_secret_gets_one_and_the_same_answer(
    tokens: TokenService, change: object
) -> None:
    _, secret = await tokens.create("ci", [Scope.READ])
    assert callable(change)
    with pytest.raises(UnauthorizedError, match=r"^the token is not valid \(") as refused:
        await tokens.authenticate(change(secret))
    assert refused.value.presented


async def test_one_tokens_secret_is_not_another_ones(tokens: TokenService) -> None:
    first, _ = await tokens.create("a", [Scope.READ])
    _, second = await tokens.create("b", [Scope.READ])
    with pytest.raises(UnauthorizedError):
        await tokens.authenticate(f"bst_{first.id}_{second[-43:]}")


async def test_a_token_expires_to_the_millisecond(
    tokens: TokenService, manual_clock: ManualClock
) -> None:
    _, secret = await tokens.create("ci", [Scope.READ], timedelta(days=1))
    manual_clock.advance(86_399.0)
    await tokens.authenticate(secret)
    manual_clock.advance(1.0)
    with pytest.raises(UnauthorizedError, match="the token is expired"):
        await tokens.authenticate(secret)


async def test_a_revoked_token_is_over_at_once_and_keeps_its_first_end(
    tokens: TokenService, manual_clock: ManualClock
) -> None:
    made, secret = await tokens.create("ci", [Scope.READ])
    ended = await tokens.revoke(made.id)
    assert ended.revoked_at == manual_clock.now()
    manual_clock.advance(5.0)
    assert await tokens.revoke(made.id) == ended
    with pytest.raises(UnauthorizedError, match="the token is revoked"):
        await tokens.authenticate(secret)


async def test_a_token_that_never_was_cannot_be_revoked(tokens: TokenService) -> None:
    with pytest.raises(NotFoundError, match="no token"):
        await tokens.revoke(UNKNOWN)


async def test_tokens_are_listed_oldest_first_with_those_that_are_over(
    tokens: TokenService, manual_clock: ManualClock
) -> None:
    first, _ = await tokens.create("a", [Scope.READ])
    manual_clock.advance(1.0)
    second, _ = await tokens.create("b", [Scope.REVIEW, Scope.READ, Scope.REVIEW])
    ended = await tokens.revoke(first.id)
    assert await tokens.list() == [ended, second]
    assert second.scopes == [Scope.READ, Scope.REVIEW]


@pytest.mark.parametrize("name", ["", " ", "a\n", "a\x1b[31m", "x" * 61, " a", "\ud800"])
async def test_a_name_that_cannot_be_listed_is_refused(tokens: TokenService, name: str) -> None:
    with pytest.raises(UsageError, match="not a name for a token"):
        await tokens.create(name, [Scope.READ])


async def test_a_token_without_scopes_or_a_life_is_refused(tokens: TokenService) -> None:
    with pytest.raises(UsageError, match="needs a scope"):
        await tokens.create("ci", [])
    with pytest.raises(UsageError, match="cannot expire before"):
        await tokens.create("ci", [Scope.READ], timedelta())
    with pytest.raises(UsageError, match="cannot be that long"):
        await tokens.create("ci", [Scope.READ], timedelta.max)
    assert await tokens.list() == []


@pytest.mark.parametrize(
    ("scope", "enough_for"),
    [
        (Scope.READ, {Scope.READ}),
        (Scope.DEPLOY, {Scope.DEPLOY, Scope.READ}),
        (Scope.OPERATE, {Scope.OPERATE, Scope.DEPLOY, Scope.READ}),
        (Scope.REVIEW, {Scope.REVIEW, Scope.READ}),
    ],
)
def test_a_scope_brings_those_below_it(scope: Scope, enough_for: set[Scope]) -> None:
    assert {other for other in Scope if scope.includes(other)} == enough_for


@given(st.lists(st.sampled_from(Scope), min_size=3, max_size=3))
def test_what_a_scope_includes_includes_no_more_than_it(scopes: list[Scope]) -> None:
    high, middle, low = scopes
    if high.includes(middle) and middle.includes(low):
        assert high.includes(low)


def test_secrets_of_a_drill_repeat_and_those_of_a_server_do_not() -> None:
    assert Seed(1).new_secret() == Seed(1).new_secret()
    entropy = Seed.from_entropy()
    again = Seed(entropy.root, guessable=False)
    assert entropy.fork("a").new_secret() != again.fork("a").new_secret()
    assert len(entropy.new_secret()) == len(Seed(1).new_secret()) == 43
