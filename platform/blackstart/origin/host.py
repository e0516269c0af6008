"""Which site, which single deploy or which branch a Host header names."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.model.address import SEPARATOR, is_deploy_id


@dataclass(frozen=True)
class HostTarget:
    """A site by name; of `<deploy-id>--<site>` and `<branch>--<site>` also what stands first."""

    site_name: str
    deploy_id: str | None = None
    branch: str | None = None


def parse_host(host: str, domain: str) -> HostTarget | None:
    """Read `name.domain[:port]` or `<deploy-id or branch>--name.domain[:port]`; None for others.

    A site's name has no two dashes in a row, a branch's may have.
    """
    hostname = host.rsplit(":", 1)[0] if ":" in host else host
    label, dot, rest = hostname.lower().partition(".")
    if not label or not dot or rest != domain:
        return None
    first, _, name = label.rpartition(SEPARATOR)
    if not first or not name:
        return HostTarget(label)
    return (
        HostTarget(name, deploy_id=first) if is_deploy_id(first) else HostTarget(name, branch=first)
    )
