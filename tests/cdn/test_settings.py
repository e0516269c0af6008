"""Tests of a node's settings."""

import pytest
from pydantic import ValidationError
from tests.cdn.raw_site import site_up

from blackstart.cdn.settings import CdnSettings, build_app


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("BLACKSTART_ORIGIN_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("BLACKSTART_PURGE_TOKEN", "secret")
    return monkeypatch


async def test_a_node_is_built_from_the_environment(environment, tmp_path) -> None:
    environment.setenv("BLACKSTART_CACHE_DIR", str(tmp_path))
    environment.setenv("BLACKSTART_NODE_NAME", "n7")
    environment.setenv("BLACKSTART_QUOTAS_MB", '{"free": 1, "pro": 2}')
    environment.setenv("BLACKSTART_STALE_IF_ERROR", "false")
    node = build_app().node
    assert (node.name, node.policy.stale_if_error) == ("n7", False)
    assert node.cache.memory.quotas.quotas == {"free": 2**20, "pro": 2**21}
    assert node.cache.disk is not None
    assert node.cache.disk.quotas.quotas == {"free": 2**22, "pro": 2**23}
    await node.start()
    await node.close()


async def test_an_origin_may_be_asked_for_its_own_host_and_told_of_visitors() -> None:
    async with site_up(origin_host="Own.Example", forward_client=True) as site:
        first = await site.ask("/", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Host: evil")
        assert first.body.startswith(b"GET own.example / ")
        assert "hit" in (await site.ask("/")).cache_status
        assert "hit" not in (await site.ask("/", host="b.example")).cache_status, "hosts differ"
        for sent, visited in zip(site.origin.asked, ("a.example", "b.example"), strict=True):
            assert sent.headers.all("x-forwarded-for") == ["127.0.0.1"]
            assert sent.headers.all("x-forwarded-host") == [visited]


@pytest.mark.parametrize("tells", [True, False])
def test_what_varies_on_the_visitor_s_address_is_for_one_where_the_origin_is_told(
    environment, tells
) -> None:
    node = build_app(CdnSettings(forward_client=tells)).node
    assert node.policy.told == ({"x-forwarded-for"} if tells else set())


async def test_each_answer_may_tell_its_cache_key() -> None:
    async with site_up(status_key=True) as site:
        for began in ("n1; fwd=uri-miss", "n1; hit", "n1; hit"):
            status = (await site.ask('/?a="b"')).cache_status
            assert status.startswith(began)
            assert status.endswith(r'; key="a.example /?a=\"b\""')


async def test_else_an_origin_sees_the_visitor_s_host_and_no_address() -> None:
    async with site_up() as site:
        assert (await site.ask("/")).body.startswith(b"GET a.example / ")
        assert "x-forwarded-for" not in site.origin.asked[0].headers


def test_without_a_folder_a_node_keeps_to_memory(environment) -> None:
    settings = CdnSettings()
    assert build_app(settings).node.cache.disk is None
    assert settings.stale_if_error
    assert settings.quotas_mb == {"free": 64, "pro": 128, "global": 256, "enterprise": 1024}
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PURGE_TOKEN", ""),
        ("PURGE_TOKEN", " padded "),
        ("PURGE_TOKEN", "ä"),
        ("ORIGIN_URL", "nonsense"),
        ("ORIGIN_URL", "127.0.0.1:8000"),
        ("ORIGIN_HOST", "http://a.example"),
        ("NODE_NAME", "a b"),
        ("QUOTAS_MB", '{"pro": 1}'),
        ("CACHE_DIR", ""),
        ("ACCESS_LOG", ""),
        ("PLAN_HEADER", "a b"),
        ("TRUSTED_PEERS", "10.0.0.0/8, all"),
        ("LOG_LEVEL", "loud"),
        ("QUOTAS_MB", '{"free": 0}'),
    ],
)
def test_settings_that_make_no_sense_are_refused(environment, name, value) -> None:
    environment.setenv(f"BLACKSTART_{name}", value)
    with pytest.raises(ValidationError):
        CdnSettings()
