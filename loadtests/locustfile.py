"""Visitors of a running platform: Zipf popularity, warm and cold caches, every byte checked.

    locust -f loadtests/locustfile.py --headless --host NODE --control CONTROL

What the visitors know is what the control API and the pages say: the sites, and the links on their
front pages. An ETag is the SHA-1 of the body, so a wrong byte is a failed request.
"""

from __future__ import annotations

import hashlib
import re
from argparse import ArgumentParser
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import accumulate, count
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from locust import FastHttpUser, constant, events, task
from locust.env import Environment
from locust.exception import StopTest

from blackstart.errors import BlackstartError, HopError, NotFoundError, UsageError
from blackstart.seed import Seed

TIMEOUT_S = 10
PER_PAGE = 100
PAGES_PER_SITE = 20
MAX_USERS = 500
_SHA1_TAG = re.compile(r'^"([0-9a-f]{40})"$')


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Our own options, and an end for runs that name none."""
    parser.set_defaults(num_users=10, spawn_rate=10.0, run_time="30s")
    parser.add_argument(
        "--control", env_var="BLACKSTART_API_URL", default="", help="the control API's URL"
    )
    parser.add_argument(
        "--token", env_var="BLACKSTART_API_TOKEN", default="", help="a token to read it with"
    )
    parser.add_argument("--domain", env_var="BLACKSTART_DOMAIN", default="localhost")
    parser.add_argument(
        "--purge-token",
        env_var="BLACKSTART_PURGE_TOKEN",
        default="",
        is_secret=True,
        help="without it no visit is cold",
    )
    parser.add_argument("--zipf", type=float, default=1.1, help="exponent of site popularity")
    parser.add_argument("--seed", type=int, default=1, help="what the visitors do follows from it")


@dataclass(frozen=True)
class Target:
    """One published site: its Host header, its purge tag, and the paths that it has."""

    host: str
    tag: str
    paths: list[str]


class Town:
    """The sites, the most popular first, and how likely a visitor picks each."""

    def __init__(self, targets: list[Target], exponent: float, seed: int, token: str) -> None:
        self.targets = targets
        self.weights = list(accumulate(1 / rank**exponent for rank in range(1, len(targets) + 1)))
        self.seed = Seed(seed)
        self.purge_headers = {"Authorization": f"Bearer {token}"} if token else None
        self.visitors = count()


_towns: dict[Environment, Town] = {}


@events.test_start.add_listener
def find_sites(environment: Environment, **_: Any) -> None:
    """Look around once, before the first visitor; without a site to visit the test fails."""
    options = environment.parsed_options
    assert options is not None
    try:
        if not environment.host or not options.control:
            raise UsageError("name a node with --host and the control API with --control")
        if (options.num_users or 0) > MAX_USERS:
            raise UsageError(f"at most {MAX_USERS} users from one machine")
        targets = targets_of(options.control, options.token, environment.host, options.domain)
    except (BlackstartError, requests.RequestException) as error:
        print(f"error: {error}")
        environment.process_exit_code = 2
        raise StopTest from error
    _towns[environment] = Town(targets, options.zipf, options.seed, options.purge_token)


@events.quitting.add_listener
def fail_when_nothing_was_asked(environment: Environment, **_: Any) -> None:
    """A test that did nothing has shown nothing."""
    if environment.process_exit_code is None and environment.stats.total.num_requests == 0:
        environment.process_exit_code = 1


def targets_of(control: str, token: str, node: str, domain: str) -> list[Target]:
    """All published sites in name order. Raises: NotFoundError when there is none; HopError."""
    targets = []
    for page in count(1):
        response = requests.get(
            f"{control}/api/v1/sites",
            {"page": page, "per_page": PER_PAGE},
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
        )
        if response.status_code == 401:
            raise UsageError("the control API wants a token: give --token")
        if response.status_code != 200:
            raise HopError(f"the control API answered with {response.status_code}")
        sites = response.json()
        for site in sites:
            if site["published_deploy"] is not None:
                host = f"{site['name']}.{domain}"
                targets.append(Target(host, f"site-{site['id']}", paths_of(node, host)))
        if len(sites) < PER_PAGE:
            break
    targets = [target for target in targets if target.paths]
    if not targets:
        raise NotFoundError("no site is published", hint="create and build one first")
    return targets


def paths_of(node: str, host: str) -> list[str]:
    """The front page and what it links to on the same site, as far as it is there now."""
    front = _get(node, host, "/")
    if front.status_code != 200:
        return []
    links = Links()
    links.feed(front.text)
    local = dict.fromkeys(
        path for link in links.found if (path := _local_path(link, host)) not in (None, "/")
    )
    found = [path for path in list(local)[:PAGES_PER_SITE] if path is not None]
    return ["/", *(path for path in found if _get(node, host, path).status_code == 200)]


class Links(HTMLParser):
    """Gathers what a page links to or shows."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def _local_path(link: str, host: str) -> str | None:
    url = urlsplit(urljoin(f"http://{host}/", link))
    return (url.path or "/") if url.scheme == "http" and url.netloc == host else None


def _get(node: str, host: str, path: str) -> requests.Response:
    return requests.get(
        node.rstrip("/") + path, headers={"Host": host}, timeout=TIMEOUT_S, allow_redirects=False
    )


class Visitor(FastHttpUser):
    """Visits one page after the other; now and then one whose site was purged just before."""

    wait_time = constant(0)
    network_timeout = TIMEOUT_S
    connection_timeout = TIMEOUT_S

    def on_start(self) -> None:
        self.town = _towns[self.environment]
        self.random = self.town.seed.fork(f"visitor-{next(self.town.visitors)}").random

    @task(19)
    def warm(self) -> None:
        self._visit(self._pick(), "warm")

    @task(1)
    def cold(self) -> None:
        if self.town.purge_headers is None:
            return
        target = self._pick()
        self.client.post(
            "/.blackstart/purge",
            json={"tags": [target.tag]},
            headers=self.town.purge_headers,
            name="purge",
        )
        self._visit(target, "cold")

    def _pick(self) -> Target:
        (target,) = self.random.choices(self.town.targets, cum_weights=self.town.weights)
        return target

    def _visit(self, target: Target, name: str) -> None:
        path = self.random.choice(target.paths)
        with self.client.get(
            path,
            headers={"Host": target.host},
            name=name,
            catch_response=True,
            allow_redirects=False,
        ) as response:
            problem = problem_with(response.status_code, response.headers, response.content)
            if problem is not None:
                response.failure(f"{target.host}{path}: {problem}")


def problem_with(status: int, headers: Any, body: bytes | None) -> str | None:
    """Why an answer is wrong; None when it is right."""
    if status != 200:
        return f"expected status 200, got {status}"
    announced = _SHA1_TAG.match((headers or {}).get("etag") or "")
    if announced is None:
        return "no digest in the ETag"
    digest = hashlib.sha1(body or b"", usedforsecurity=False).hexdigest()
    if digest != announced[1]:
        return f"expected bytes with digest {announced[1]}, got {digest}"
    return None
