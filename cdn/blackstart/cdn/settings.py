"""What a node is told at its start, by environment variables, and the node built from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from blackstart.cdn.app import NodeApp
from blackstart.cdn.front import TrustedPeers
from blackstart.cdn.front.hosts import host_of
from blackstart.cdn.hop import Hop, SocketHop
from blackstart.cdn.hop.address import Address
from blackstart.cdn.hop.breaker import Breaker
from blackstart.cdn.hop.guarded import GuardedHop
from blackstart.cdn.hop.introducing import CLIENT_FIELD, IntroducingHop
from blackstart.cdn.hop.retry import RetryingHop
from blackstart.cdn.node import Node
from blackstart.cdn.rules.policy import DAY_S, Policy
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.disk import DiskTier
from blackstart.cdn.storage.quota import DEFAULT_PLAN, DEFAULT_QUOTAS, MEBIBYTE
from blackstart.clock import WallClock
from blackstart.errors import UsageError
from blackstart.seed import Seed


def _has_default(quotas: dict[str, int]) -> dict[str, int]:
    if DEFAULT_PLAN not in quotas:
        raise ValueError(f"a quota for {DEFAULT_PLAN!r} is needed: unknown plans go there")
    return quotas


def _is_origin(url: object) -> object:
    try:
        Address.from_url(str(url))
    except UsageError as error:
        raise ValueError(error.message) from error
    return url


def _is_host(authority: str) -> str:
    host = host_of(authority)
    if host is None:
        raise ValueError(
            f"{authority!r} is no host: it is a name or an address, and perhaps a port"
        )
    return host


def _is_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name):
        raise ValueError(f"{name!r} is no name: it is a letter, then letters, digits, . _ or -")
    return name


def _is_token(token: SecretStr) -> SecretStr:
    # What cannot stand in an Authorization field would let nobody in.
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", token.get_secret_value()):
        raise ValueError("it is no token: give it some ASCII characters, or unset it")
    return token


def _is_no_blank(path: object) -> object:
    # Path("") is the present folder, which nobody means who names none.
    if path == "":
        raise ValueError("it is blank: name one, or leave it out")
    return path


def _are_networks(names: str) -> str:
    try:
        TrustedPeers.of(networks_of(names))
    except UsageError as error:
        raise ValueError(f"{error.message}: {error.hint}") from error
    return names


def networks_of(names: str) -> list[str]:
    """What is separated by commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


OriginUrl = Annotated[HttpUrl, BeforeValidator(_is_origin)]
Quotas = Annotated[dict[str, PositiveInt], AfterValidator(_has_default)]


def _default_quotas_mb() -> dict[str, int]:
    return {plan: size // MEBIBYTE for plan, size in DEFAULT_QUOTAS.items()}


class CdnSettings(BaseSettings):
    """One node's settings: `BLACKSTART_ORIGIN_URL` and so on.

    The quotas are mebibytes per plan, as JSON; those for the disk default to
    four times those for memory. `cache_dir` belongs to one node alone.
    `access_log` is a file, `-` is standard output. `status_key` has Cache-Status
    end with the cache key. `trusted_peers` are the networks of proxies in front,
    separated by commas.
    """

    model_config = SettingsConfigDict(env_prefix="BLACKSTART_")

    origin_url: OriginUrl
    origin_host: Annotated[str, AfterValidator(_is_host)] | None = None
    forward_client: bool = False
    purge_token: Annotated[SecretStr, AfterValidator(_is_token)] | None = None
    cache_dir: Annotated[Path | None, BeforeValidator(_is_no_blank)] = None
    node_name: Annotated[str, AfterValidator(_is_name)] = "node"
    quotas_mb: Quotas = Field(default_factory=_default_quotas_mb)
    disk_quotas_mb: Quotas | None = None
    plan_header: str = Field(default="Blackstart-Plan", pattern=r"^[A-Za-z0-9-]+$")
    stale_if_error: bool = True
    stale_window_s: float = Field(default=DAY_S, ge=0)
    node_lease_s: float | None = Field(default=None, gt=0, le=3_600)
    serve_unheard: bool = False
    access_log: Annotated[Path | None, BeforeValidator(_is_no_blank)] = None
    status_key: bool = False
    trusted_peers: Annotated[str, AfterValidator(_are_networks)] = ""
    proxy_protocol: bool = False
    connect_timeout_s: float = Field(default=2.0, gt=0)
    read_timeout_s: float = Field(default=30.0, gt=0)
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    log_format: Literal["auto", "json", "pretty"] = "auto"


def build_app(settings: CdnSettings | None = None) -> NodeApp:
    """The application of one node; without settings they come from the environment."""
    settings = settings or CdnSettings()
    clock = WallClock()
    seed = Seed.from_entropy()
    quotas = _bytes(settings.quotas_mb)
    disk = None
    if settings.cache_dir is not None:
        disk_quotas = {plan: 4 * size for plan, size in quotas.items()}
        if settings.disk_quotas_mb is not None:
            disk_quotas = _bytes(settings.disk_quotas_mb)
        disk = DiskTier(settings.cache_dir, disk_quotas, clock)
    sockets = SocketHop(
        str(settings.origin_url),
        connect_timeout_s=settings.connect_timeout_s,
        read_timeout_s=settings.read_timeout_s,
    )
    hop = RetryingHop(GuardedHop(_introduced(sockets, settings), clock, Breaker()), clock, seed)
    node = Node(
        clock,
        hop,
        Cache(clock, quotas, disk=disk),
        name=settings.node_name,
        policy=Policy(
            stale_if_error=settings.stale_if_error,
            stale_if_error_s=settings.stale_window_s,
            serve_unheard=settings.serve_unheard,
            told=frozenset({CLIENT_FIELD}) if settings.forward_client else frozenset(),
        ),
        plan_header=settings.plan_header,
        identity=seed.new_id(),
        lease_s=settings.node_lease_s,
        tells_key=settings.status_key,
    )
    token = settings.purge_token
    return NodeApp(node, None if token is None else token.get_secret_value())


def _introduced(hop: Hop, settings: CdnSettings) -> Hop:
    if settings.origin_host is None and not settings.forward_client:
        return hop
    return IntroducingHop(hop, host=settings.origin_host, tells_client=settings.forward_client)


def _bytes(quotas_mb: dict[str, int]) -> dict[str, int]:
    return {plan: size * MEBIBYTE for plan, size in quotas_mb.items()}
