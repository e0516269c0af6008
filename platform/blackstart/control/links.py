"""The addresses that the API tells its clients: of a site, a deploy, a page, a hook."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from blackstart.model.address import SEPARATOR, branch_address


@dataclass(frozen=True)
class Links:
    """`public` is where visitors reach the sites' domain, `control` the control plane itself."""

    public: str
    control: str

    def site(self, name: str) -> str:
        """Of a site by name, on the sites' domain."""
        parts = urlsplit(self.public)
        return urlunsplit((parts.scheme, f"{name}.{parts.netloc}", "", "", ""))

    def deploy(self, deploy_id: str, name: str) -> str:
        """The permalink of one deploy."""
        return self.site(f"{deploy_id}{SEPARATOR}{name}")

    def branch(self, branch: str, name: str) -> str | None:
        """Where a branch's newest deploy is; None for a branch that no host name can hold."""
        label = branch_address(branch, name)
        return None if label is None else self.site(label)

    def admin(self, name: str) -> str:
        """A site's page for people."""
        return f"{self.control.rstrip('/')}/sites/{name}"

    def hook(self, hook_id: str) -> str:
        """Where a build hook is called."""
        return f"{self.control.rstrip('/')}/build_hooks/{hook_id}"
