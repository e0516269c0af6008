"""Which site, or which single deploy, a Host header names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HostTarget:
    """A site by name; `deploy_id` is set for a permalink (`<deploy-id>--<site>`)."""

    site_name: str
    deploy_id: str | None


def parse_host(host: str, domain: str) -> HostTarget | None:
    """Read `name.domain[:port]` or `<deploy-id>--name.domain[:port]`; None for any other host."""
    hostname = host.rsplit(":", 1)[0] if ":" in host else host
    label, dot, rest = hostname.lower().partition(".")
    if not label or not dot or rest != domain:
        return None
    deploy_id, dashes, name = label.partition("--")
    if dashes and len(deploy_id) == 24 and name:
        return HostTarget(name, deploy_id)
    return HostTarget(label, None)
