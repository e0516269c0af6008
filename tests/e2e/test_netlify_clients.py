"""Netlify's own clients, unmodified, against the whole platform: what they send, say and print."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.e2e.conftest import Up, start_up
from tests.e2e.netlify_project import Call, Project, Refused, netlify_api

pytestmark = pytest.mark.netlify

DOCS = (Path(__file__).parents[2] / "docs" / "deploys.md").read_text()
VARIABLE = "BLACKSTART_NETLIFY_CLIENTS"
PRODUCTION = "npx netlify deploy --dir site --site docs --prod --no-build"
DRAFT = "npx netlify deploy --dir site --site docs --no-build"
ALIAS = "npx netlify deploy --dir site --site docs --alias x --no-build"
PROGRAMS = re.findall(r"^```js\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
NAME = "café & co.txt"
EMPTY = {"empty.css": b""}
Answer = dict[str, Any]


def files_of(site: str) -> dict[str, bytes]:
    """What no other site brings: the platform asks for no bytes twice."""
    return {"index.html": f"<h1>{site}</h1>".encode(), f"notes/{NAME}": f"of {site}".encode()}


@pytest.fixture(scope="module")
def own_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A platform to which nobody else has sent a file."""
    with start_up(tmp_path_factory.mktemp("up"), BLACKSTART_PURGE_TOKEN="a token") as up:
        yield up


@pytest.fixture
def project_with(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Project]:
    """Makes a project that has a client installed; skips the test where there is none."""

    def make(client: str) -> Project:
        folders = os.environ.get(VARIABLE, "").split(os.pathsep)
        found = [Path(each) / "node_modules" for each in folders if each]
        for each in found:
            assert each.is_dir(), f"{VARIABLE}: npm has installed nothing in {each.parent}"
        found = [each for each in found if (each / client / "package.json").is_file()]
        if not found:
            pytest.skip(f"{VARIABLE} names no folder in which npm has installed {client}")
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "node_modules").symlink_to(found[0].resolve(), target_is_directory=True)
        # Only now, so that no platform is started for tests that are skipped.
        return Project(request.getfixturevalue("own_up"), folder)

    return make


@pytest.fixture
def api(project_with: Callable[[str], Project]) -> Iterator[tuple[Project, Call]]:
    project = project_with("@netlify/api")
    with netlify_api(project) as call:
        yield project, call


def digest(data: bytes) -> str:
    return sha1(data, usedforsecurity=False).hexdigest()


def deploy_files(project: Project, call: Call, site: Answer, **more: Any) -> Answer:
    """Announce a site's files, one of them perhaps other, send what is asked, and look again."""
    files = files_of(site["name"])
    project.write(files | {"index.html": more.pop("index", files["index.html"])})
    folder = project.folder / "site"
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    digests = {str(name): digest(path.read_bytes()) for name, path in paths.items()}
    deploy = call("createSiteDeploy", siteId=site["id"], body={"files": digests, **more})
    for name, path in paths.items():
        if digests[str(name)] in deploy["required"]:
            call("uploadDeployFile", deployId=deploy["id"], path=str(name), body_file=path)
    ready: Answer = call("getSiteDeploy", siteId=site["id"], deployId=deploy["id"])
    assert ready["state"] == "ready", ready
    return ready | {"asked": len(deploy["required"])}


def test_the_command_line_deploys_a_folder_and_then_only_what_has_changed(
    project_with: Callable[[str], Project],
) -> None:
    project = project_with("netlify-cli")
    project.up.api("POST", "/sites", {"name": "cli"})
    files = files_of("cli") | EMPTY
    project.write(files)
    before = project.uploads()
    first = project.cli(PRODUCTION, "cli")
    assert first.returncode == 0, first.stdout
    assert "Deploy complete" in first.stdout
    assert "CDN requesting 4 files" in first.stdout
    assert project.uploads() - before == 4
    shown = project.site("cli")
    assert f"Production URL: <{shown['url']}>" in first.stdout
    assert f"<{shown['published_deploy']['links']['permalink']}>" in first.stdout
    for path, data in files.items():
        assert project.page(shown["url"], f"/{path}") == (200, data), path
    assert project.page(shown["url"], "/netlify.toml")[0] == 404

    project.write({"index.html": b"<h1>second</h1>"})
    second = project.cli(PRODUCTION, "cli")
    assert second.returncode == 0, second.stdout
    assert "CDN requesting 1 files" in second.stdout
    assert project.uploads() - before == 5
    assert project.page(shown["url"]) == (200, b"<h1>second</h1>")
    assert project.page(shown["url"], f"/notes/{NAME}") == (200, b"of cli")
    old = shown["published_deploy"]["deploy_url"]
    assert project.page(old) == (200, files["index.html"])


def test_every_address_that_the_command_line_prints_leads_to_what_it_says(
    project_with: Callable[[str], Project],
) -> None:
    project = project_with("netlify-cli")
    project.up.api("POST", "/sites", {"name": "links"})
    project.write(files_of("links"))
    said = project.cli(PRODUCTION, "links").stdout
    assert "Deploy complete" in said, said
    printed = dict(re.findall(r"^([A-Z][A-Za-z ]+): <(.+)>$", said, re.MULTILINE))
    pages = {
        "Build logs": "There was no build",
        "Function logs": "No functions here",
        "Edge function logs": "No edge functions here",
    }
    sites = {"Production URL", "Unique deploy URL"}
    assert printed.keys() == pages.keys() | sites, said
    for name, text in pages.items():
        answer = project.up.client.get(printed[name])
        assert (answer.status_code, text in answer.text) == (200, True), name
    for name in sites:
        assert project.page(printed[name]) == (200, b"<h1>links</h1>"), name


def test_drafts_and_aliases_of_the_command_line_are_shown_at_their_own_addresses_only(
    project_with: Callable[[str], Project],
) -> None:
    project = project_with("netlify-cli")
    site = project.up.api("POST", "/sites", {"name": "drafts"})
    address = re.compile(r"^Draft URL: <(.+)>$", re.MULTILINE)
    for command, text in ((DRAFT, b"draft"), (ALIAS, b"alias"), (ALIAS, b"newer alias")):
        project.write({"index.html": text})
        said = project.cli(command, "drafts")
        assert said.returncode == 0, said.stdout
        (draft,) = address.findall(said.stdout)
        assert (str(urlsplit(draft).hostname) == "x--drafts.localhost") is (command == ALIAS)
        assert project.page(draft) == (200, text)
        assert project.page(site["url"])[0] == 404
    assert project.site("drafts")["published_deploy"] is None


def test_the_command_line_does_not_publish_to_a_locked_site(
    project_with: Callable[[str], Project],
) -> None:
    project = project_with("netlify-cli")
    site = project.up.api("POST", "/sites", {"name": "locked"})
    project.write(files_of("locked"))
    assert project.cli(PRODUCTION, "locked").returncode == 0
    published = project.site("locked")["published_deploy"]["id"]
    project.up.api("POST", f"/deploys/{published}/lock")
    project.write({"index.html": b"not to be seen"})
    refused = project.cli(PRODUCTION, "locked")
    assert refused.returncode == 1
    assert 'Deployments are "locked" for production context' in refused.stdout
    assert len(project.up.api("GET", f"/sites/{site['id']}/deploys")) == 1
    assert project.page(site["url"]) == (200, b"<h1>locked</h1>")


def test_the_api_client_makes_a_site_and_deploys_what_is_asked_of_it(
    api: tuple[Project, Call],
) -> None:
    project, call = api
    site = call("createSite", body={"name": "client"})
    assert site["id"] in [each["id"] for each in call("listSites", filter="all")]
    assert call("getSite", siteId=site["id"])["name"] == "client"
    deploy = deploy_files(project, call, site)
    files = files_of("client")
    assert deploy["asked"] == len(files)
    for path, data in files.items():
        assert project.page(deploy["url"], f"/{path}") == (200, data), path
    again = deploy_files(project, call, site, index=b"again", title="a title")
    assert (again["asked"], again["title"]) == (1, "a title")
    assert project.page(deploy["url"]) == (200, b"again")
    listed = call("listSiteDeploys", siteId=site["id"])
    assert [each["id"] for each in listed] == [again["id"], deploy["id"]]
    listed = call("listSiteFiles", siteId=site["id"])
    assert {each["path"]: each["sha"] for each in listed} == {
        f"/{path}": digest(data) for path, data in (files | {"index.html": b"again"}).items()
    }
    assert call("getDeploy", deployId=again["id"])["state"] == "ready"
    call("updateSite", siteId=site["id"], body={"name": "renamed"})
    assert project.page(project.site("renamed")["url"]) == (200, b"again")
    call("deleteSite", siteId=site["id"])
    with pytest.raises(Refused) as refused:
        call("getSite", siteId=site["id"])
    status, body = refused.value.args
    assert (status, body["code"]) == (404, "not_found")


def test_the_api_client_goes_on_with_an_upload_that_was_cut_off_and_hears_of_wrong_bytes(
    api: tuple[Project, Call], tmp_path: Path
) -> None:
    project, call = api
    site = call("createSite", body={"name": "resumed"})
    one, two, wrong = (tmp_path / name for name in ("one", "two", "wrong"))
    for path in (one, two, wrong):
        path.write_text(f"resumed {path.name}")
    files = {path.name: digest(path.read_bytes()) for path in (one, two)}
    deploy = call("createSiteDeploy", siteId=site["id"], body={"draft": False})
    ids = {"siteId": site["id"], "deployId": deploy["id"]}
    asked = call("updateSiteDeploy", **ids, body={"files": files})
    assert asked["required"] == sorted(files.values())
    with pytest.raises(Refused) as refused:
        call("uploadDeployFile", deployId=deploy["id"], path="one", body_file=wrong)
    assert refused.value.args[0] == 422
    call("uploadDeployFile", deployId=deploy["id"], path="one", body_file=one)
    asked = call("updateSiteDeploy", **ids, body={"files": files})
    assert asked["required"] == [files["two"]]
    assert call("getSiteDeploy", **ids)["state"] == "uploading"
    call("uploadDeployFile", deployId=deploy["id"], path="two", body_file=two)
    assert call("getSiteDeploy", **ids)["state"] == "ready"
    assert project.page(site["url"], "/two") == (200, two.read_bytes())


def test_the_api_client_locks_restores_and_rolls_back(api: tuple[Project, Call]) -> None:
    project, call = api
    site = call("createSite", body={"name": "moved"})
    first = deploy_files(project, call, site, index=b"first")
    assert call("lockDeploy", deployId=first["id"])["locked"] is True
    second = deploy_files(project, call, site, index=b"second")
    assert project.page(site["url"]) == (200, b"first")
    with pytest.raises(Refused) as refused:
        call("restoreSiteDeploy", siteId=site["id"], deployId=second["id"])
    assert refused.value.args[0] == 409
    assert call("unlockDeploy", deployId=first["id"])["locked"] is False
    assert project.page(site["url"]) == (200, b"first")
    call("restoreSiteDeploy", siteId=site["id"], deployId=second["id"])
    assert project.page(site["url"]) == (200, b"second")
    call("rollbackSiteDeploy", siteId=site["id"])
    assert project.page(site["url"]) == (200, b"first")
    call("cancelSiteDeploy", deployId=first["id"])
    assert project.page(site["url"]) == (200, b"first")


def test_the_api_client_calls_a_deploy_off(api: tuple[Project, Call], tmp_path: Path) -> None:
    project, call = api
    site = call("createSite", body={"name": "given-up"})
    body = {"files": {"a": digest(b"never sent")}}
    deploy = call("createSiteDeploy", siteId=site["id"], body=body)
    assert deploy["state"] == "uploading"
    assert call("cancelSiteDeploy", deployId=deploy["id"])["state"] == "error"
    (tmp_path / "a").write_bytes(b"never sent")
    with pytest.raises(Refused) as refused:
        call("uploadDeployFile", deployId=deploy["id"], path="a", body_file=tmp_path / "a")
    assert refused.value.args[0] == 409
    assert project.site("given-up")["published_deploy"] is None


def test_the_api_client_sees_drafts_and_branches_at_their_own_addresses_only(
    api: tuple[Project, Call],
) -> None:
    project, call = api
    site = call("createSite", body={"name": "branches"})
    draft = deploy_files(project, call, site, index=b"draft", draft=True)
    assert project.page(draft["deploy_ssl_url"]) == (200, b"draft")
    for text in (b"branch", b"newer"):
        deploy = deploy_files(project, call, site, index=text, branch="x")
        assert project.page(deploy["deploy_ssl_url"]) == (200, text)
        assert project.page(deploy["links"]["permalink"]) == (200, text)
    assert project.page(site["url"])[0] == 404
    (branch,) = call("listSiteDeployedBranches", siteId=site["id"])
    assert (branch["name"], branch["url"]) == ("x", deploy["deploy_url"])


def test_the_api_client_builds_and_hooks_and_purges(
    api: tuple[Project, Call],
    commit: Callable[[dict[str, bytes]], Path],
    until: Callable[..., Any],
) -> None:
    project, call = api
    repository = commit({"index.html": b"built"})
    site = project.up.create_site("built", repository)
    build = call("createSiteBuild", siteId=site["id"], body={"clear_cache": True})
    done = until(lambda: _done(call, build), "the build ends")
    assert done["error"] is None
    assert call("getSiteDeploy", siteId=site["id"], deployId=done["deploy_id"])["state"] == "ready"
    assert project.page(site["url"]) == (200, b"built")
    assert [each["id"] for each in call("listSiteBuilds", siteId=site["id"])] == [build["id"]]
    hook = call("createSiteBuildHook", siteId=site["id"], body={"title": "a hook"})
    assert [each["id"] for each in call("listSiteBuildHooks", siteId=site["id"])] == [hook["id"]]
    call("deleteSiteBuildHook", siteId=site["id"], id=hook["id"])
    assert call("listSiteBuildHooks", siteId=site["id"]) == []
    project.page(site["url"])
    assert "hit" in project.up.get("built", "/").headers["cache-status"]
    call("purgeCache", body={"site_id": site["id"]})
    assert "hit" not in project.up.get("built", "/").headers["cache-status"]


@pytest.mark.parametrize(
    ("client", "script", "sent"),
    [("netlify", "deploy.cjs", (2, 1)), ("@netlify/api", "deploy.mjs", (1, 1))],
)
def test_the_programs_of_the_documents_deploy_what_has_changed(
    project_with: Callable[[str], Project], client: str, script: str, sent: tuple[int, int]
) -> None:
    project = project_with(client)
    name = script.replace(".", "-")
    site = project.up.api("POST", "/sites", {"name": name})
    (program,) = [each for each in PROGRAMS if f"'{client}'" in each]
    (project.folder / script).write_text(program.replace("'docs'", f"'{name}'"))
    for text, count in zip((b"first", b"second"), sent, strict=True):
        index = text + name.encode()
        project.write(files_of(name) | {"index.html": index})
        before = project.uploads()
        ran = project.run("node", script)
        assert (ran.returncode, ran.stdout) == (0, f"{count} sent, ready: {site['url']}\n")
        assert project.uploads() - before == count
        assert project.page(site["url"]) == (200, index)


def _done(call: Call, build: Answer) -> Answer | None:
    found: Answer = call("getSiteBuild", buildId=build["id"])
    return found if found["done"] else None
