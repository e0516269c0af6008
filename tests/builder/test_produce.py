"""Tests of what a build makes of a checkout, with build commands on and off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.command import Limits
from blackstart.builder.files import Publication
from blackstart.builder.produce import produce
from blackstart.errors import BuildCommandError, RepositoryError
from blackstart.model import BuildState

if TYPE_CHECKING:
    from tests.conftest import Bench, Client, Repository

CONFIG = """
[build]
base = "site"
command = "mkdir -p dist; cat in.txt > dist/index.html; echo $GREETING >> dist/index.html; echo ok"
publish = "dist"
[build.environment]
GREETING = "hello"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "site").mkdir(parents=True)
    (folder / "netlify.toml").write_text(CONFIG)
    (folder / "site" / "in.txt").write_text("made: ")
    return folder


@pytest.fixture
def log() -> list[str]:
    return []


async def made(folder: Path, log: list[str], commands: Limits | None) -> Publication:
    return await produce(folder, folder.parent / "scratch", log.append, commands=commands)


async def test_the_command_runs_in_its_base_and_only_what_it_publishes_is_published(
    folder: Path, log: list[str]
) -> None:
    publication = await made(folder, log, Limits())
    assert [file.path for file in publication.files] == ["index.html"]
    assert publication.read("index.html") == b"made: hello\n"
    assert log[0].startswith("$ mkdir -p dist; ")
    assert log[1:] == ["ok"]


async def test_with_commands_off_a_publish_folder_of_the_commit_is_published_and_the_log_says_so(
    folder: Path, log: list[str]
) -> None:
    (folder / "site" / "dist").mkdir()
    (folder / "site" / "dist" / "index.html").write_bytes(b"committed")
    publication = await made(folder, log, None)
    assert publication.read("index.html") == b"committed"
    assert len(log) == 1
    assert "build command not run: mkdir -p dist" in log[0]
    assert "BLACKSTART_BUILD_COMMANDS=true" in log[0]


async def test_with_commands_off_a_publish_folder_that_is_missing_says_what_to_do(
    folder: Path, log: list[str]
) -> None:
    with pytest.raises(RepositoryError, match=r"site/dist is not in the commit.*commit the folder"):
        await made(folder, log, None)
    assert len(log) == 1


async def test_a_command_that_makes_no_publish_folder_is_an_error(
    folder: Path, log: list[str]
) -> None:
    (folder / "netlify.toml").write_text("[build]\ncommand = 'true'\npublish = 'dist'")
    with pytest.raises(RepositoryError, match="no folder 'dist' to publish"):
        await made(folder, log, Limits())


async def test_a_base_that_is_missing_or_leads_out_is_an_error(
    folder: Path, log: list[str]
) -> None:
    (folder / "netlify.toml").write_text("[build]\nbase = 'out'\ncommand = 'touch ran'")
    with pytest.raises(RepositoryError, match="no folder out to build in"):
        await made(folder, log, Limits())
    (folder / "out").symlink_to(folder.parent)
    with pytest.raises(RepositoryError, match="no folder out to build in"):
        await made(folder, log, Limits())
    assert not (folder.parent / "ran").exists()


async def test_links_that_a_command_makes_are_judged_as_those_of_the_commit(
    folder: Path, log: list[str]
) -> None:
    command = (
        "ln -s /etc/passwd a; ln -s ../site/in.txt b; ln -s in.txt c; mkdir .git; touch .git/x"
    )
    (folder / "netlify.toml").write_text(f"[build]\nbase = 'site'\ncommand = '{command}'")
    publication = await made(folder, log, Limits())
    assert {file.path: publication.read(file.path) for file in publication.files} == {
        "in.txt": b"made: ",
        "b": b"made: ",
        "c": b"made: ",
    }
    assert log[1:] == ["skipped a: a symbolic link that leads out of the site"]


@pytest.mark.parametrize(
    "command",
    ['rm -rf "$PWD"', 'mv "$PWD" ../gone', 'rm -rf "$PWD"; ln -s "$HOME" "$PWD"; touch "$HOME/x"'],
)
async def test_a_command_that_takes_its_checkout_away_publishes_nothing_else_instead(
    folder: Path, log: list[str], command: str
) -> None:
    (folder / "netlify.toml").write_text(f"[build]\ncommand = '''{command}'''")
    with pytest.raises(RepositoryError, match="took its own checkout away"):
        await made(folder, log, Limits())


async def test_what_a_command_makes_reaches_the_visitor(
    bench: Bench, repository: Repository, client_of: Client
) -> None:
    repository.commit({"netlify.toml": CONFIG.encode(), "site/in.txt": b"made: "})
    site = await bench.site(repo=repository.repo)
    queued = await bench.builds.start(site)
    await bench.worker(commands=Limits()).run_one()
    build = await bench.store.builds.get(queued.id)
    assert (build.state, build.error) == (BuildState.DONE, None)
    assert "ok" in build.log
    visitor = client_of(bench.origin())
    assert (await visitor.get("/")).content == b"made: hello\n"
    assert (await visitor.get("/netlify.toml")).status_code == 404


async def test_a_command_that_fails_publishes_nothing_and_its_output_is_in_the_log(
    bench: Bench, repository: Repository
) -> None:
    repository.commit({"netlify.toml": b"[build]\ncommand = 'echo oh no; exit 2'"})
    site = await bench.site(repo=repository.repo)
    queued = await bench.builds.start(site)
    await bench.worker(commands=Limits()).run_one()
    build = await bench.store.builds.get(queued.id)
    assert (build.state, build.deploy_id) == (BuildState.ERROR, None)
    assert build.log[1:3] == ["$ echo oh no; exit 2", "oh no"]
    assert (build.error or "").startswith("the build command failed with exit code 2")


async def test_a_build_of_a_shortened_id_is_of_the_full_commit(
    bench: Bench, repository: Repository
) -> None:
    bench.safeguards.enable("rebuild-by-commit")
    first = repository.commit({"index.html": b"first"})
    repository.commit({"index.html": b"second"})
    site = await bench.site(repo=repository.repo)
    queued = await bench.builds.start(site, commit_ref=first[:8])
    await bench.worker().run_one()
    build = await bench.store.builds.get(queued.id)
    assert (build.state, build.commit_ref) == (BuildState.DONE, first)
    assert (await bench.deploy(build.deploy_id or "")).commit_ref == first


def test_a_failed_command_is_an_error_of_the_repository() -> None:
    assert issubclass(BuildCommandError, RepositoryError)
    assert BuildCommandError.status == 422
