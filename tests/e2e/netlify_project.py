"""Somebody who deploys with one of Netlify's clients: a folder, a home, and the client in it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 120.0
DRIVER = Path(__file__).parent / "netlify_api.mjs"
UPLOADS = re.compile(r'requests_total\{method="PUT",route="[^"]*/files/[^"]*".*\} ([0-9.]+)')


@dataclass
class Project:
    """One such folder, beside one platform."""

    up: Any
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return self.up.environment(
            HOME=str(home),
            CI="1",
            NO_COLOR="1",
            NETLIFY_API_URL=f"{self.up.control}/api/v1",
            NETLIFY_AUTH_TOKEN=str(self.up.addresses["token"]),
        )

    def write(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            target = self.folder / "site" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def cli(self, documented: str, site: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the documents on a site of the test's own."""
        command = shlex.split(documented.replace("--site docs", f"--site {site}"))
        assert command.pop(0) == "npx"
        return self.run(f"node_modules/.bin/{command.pop(0)}", *command)

    def uploads(self) -> int:
        """How many files clients have sent to the platform so far."""
        text = self.up.client.get(f"{self.up.control}/metrics").text
        return int(sum(float(count) for count in UPLOADS.findall(text)))

    def page(self, address: str, path: str = "/") -> tuple[int, bytes]:
        """A page at an address that the API gave out, asked of a node."""
        answer = self.up.get(str(urlsplit(address).hostname).removesuffix(".localhost"), path)
        return answer.status_code, answer.content

    def site(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.up.api("GET", f"/sites/{name}")
        return found


Call = Callable[..., Any]


class Refused(Exception):
    """What the client threw: the status and the body of an answer."""


@contextmanager
def netlify_api(project: Project) -> Iterator[Call]:
    """Calls operations of @netlify/api, in one Node process."""
    driver = project.folder / DRIVER.name
    driver.write_bytes(DRIVER.read_bytes())
    with subprocess.Popen(
        ["node", driver.name],
        cwd=project.folder,
        env=project.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def call(operation: str, body_file: Path | None = None, **params: Any) -> Any:
            assert process.stdin is not None and process.stdout is not None
            asked = {"call": operation, "params": params, "body_file": body_file}
            process.stdin.write(json.dumps(asked, default=str) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            if "error" in answer:
                raise Refused(answer.get("status"), answer["error"])
            return answer.get("result")

        try:
            yield call
        finally:
            process.kill()
