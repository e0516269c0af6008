"""What the sites of a fleet show: pages that say which site and revision they are."""

from __future__ import annotations

import hashlib
from random import Random

_ADJECTIVES = """
amber brisk calm dapper early fable gentle hazel inner jolly keen lunar mellow noble olive prime
quiet rapid silver tidal urban vivid warm young zesty
""".split()  # noqa: SIM905 - as a list this would be a screenful
_NOUNS = """
anchor bridge canyon delta ember forest garden harbor island jetty kiosk lantern meadow north
orchard prairie quarry river summit tower valley willow yard
""".split()  # noqa: SIM905 - as a list this would be a screenful
_WORDS = """
a black start brings a dead grid back without outside help every page of this site was built
from one commit and served through pointer tree and blob so that a visitor sees the bytes the
author wrote and nothing else
""".split()  # noqa: SIM905 - as a list this would be a screenful
_PAGES = ("about", "pricing", "team", "docs/start", "docs/guide", "blog/hello", "blog/second")


def site_name(index: int, random: Random) -> str:
    """A host name for site `index` of the fleet; no two are alike."""
    return f"{random.choice(_ADJECTIVES)}-{random.choice(_NOUNS)}-{index:04d}"


def page_paths(random: Random) -> list[str]:
    """The files of a new site: a home page, a style sheet, a 404 page, and some more pages."""
    more = random.sample(_PAGES, k=random.randint(1, 4))
    return ["index.html", "404.html", "css/site.css", *(f"{page}.html" for page in more)]


def url_path(path: str) -> str:
    """The pretty URL of a generated file."""
    if path == "index.html":
        return "/"
    return "/" + path.removesuffix(".html")


def page_bytes(site: str, path: str, revision: int, random: Random) -> bytes:
    """The bytes of one file at one revision: unique to site, path and revision."""
    words = " ".join(random.choices(_WORDS, k=60))
    if path.endswith(".css"):
        return f"/* {site} {path} revision {revision} */\nbody {{ margin: 2rem }}\n".encode()
    title = f"{site}: {path} revision {revision}"
    return (
        f"<!doctype html>\n<title>{title}</title>\n<h1>{title}</h1>\n<p>{words}.</p>\n"
    ).encode()


def git_blob_id(data: bytes, *, sha256: bool = False) -> str:
    """The id git gives these bytes: the oracle's own measure of a right answer."""
    digest = hashlib.sha256() if sha256 else hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % len(data))
    digest.update(data)
    return digest.hexdigest()
