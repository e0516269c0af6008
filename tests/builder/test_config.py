"""Tests of what a repository's netlify.toml may ask for, and of what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.builder.config import MAX_BYTES, BuildConfig, parse_config, read_config
from blackstart.errors import RepositoryError


def test_without_a_file_the_whole_repository_is_the_site(tmp_path: Path) -> None:
    assert read_config(tmp_path) == BuildConfig(base="", command=None, publish="", environment={})


def test_base_command_publish_and_environment_are_read_and_the_rest_is_passed_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "netlify.toml").write_text(
        """
[build]
  base = "site/"
  command = " make all "
  publish = "./dist/"
  functions = "functions"
[build.environment]
  NODE_ENV = "production"
[build.processing.css]
  minify = true
[context.production]
  command = "make other"
[[redirects]]
  from = "/a"
  to = "/b"
"""
    )
    assert read_config(tmp_path) == BuildConfig(
        base="site",
        command="make all",
        publish="site/dist",
        environment={"NODE_ENV": "production"},
        has_rules=True,
    )


@pytest.mark.parametrize(
    ("build", "publish"),
    [
        ('publish = "."', ""),
        ('publish = ""', ""),
        ('base = "site"', "site"),
        ('base = "site"\npublish = "../dist"', "dist"),
        ('base = "a/b"\npublish = "../.."', ""),
        ('publish = "a//b/./c/"', "a/b/c"),
        ('publish = "\u00fc b"', "\u00fc b"),
    ],
)
def test_publish_is_relative_to_base_and_comes_out_relative_to_the_top(
    build: str, publish: str
) -> None:
    assert parse_config(f"[build]\n{build}".encode()).publish == publish


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[build]\ncommand = \n", "cannot be read: .*line 2"),
        (b"\xff", "not UTF-8"),
        (b"a = " + b"[" * 100_000, "cannot be read"),
        (b"build = 1", "build must be a table"),
        (b"[[build]]", "build must be a table"),
        (b"[build]\ncommand = ['a']", "build.command must be text"),
        (b"[build]\npublish = 7", "build.publish must be text"),
        (b"[build]\nbase = true", "build.base must be text"),
        (b"[build]\nenvironment = 'A=1'", "build.environment must be a table"),
        (b"[build.environment]\nA = 1", "build.environment.A must be text"),
        (b"[build.environment]\n'A=B' = '1'", "no name for an environment variable"),
        (b'[build.environment]\nA = "\\u0000"', "null character"),
        (b'[build]\ncommand = "a\\u0000"', "null character"),
        (b"[build]\npublish = '/dist'", "must not start with '/' .*write 'dist'"),
        (b"[build]\nbase = '/'", "must not start with '/' .*write '.'"),
        (b"[build]\npublish = '..'", "leads out of the repository"),
        (b"[build]\npublish = 'a/../../b'", "leads out of the repository"),
        (b"[build]\nbase = 'a'\npublish = '../../b'", "leads out of the repository"),
        (b"[build]\npublish = '.git'", "a folder of git"),
        (b"[build]\nbase = 'a/.GIT/b'", "a folder of git"),
        (b"[build]\npublish = 'a\\b'", "a character that no folder has"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_clear_line(text: bytes, reason: str) -> None:
    with pytest.raises(RepositoryError, match=f"^netlify.toml.*{reason}") as raised:
        parse_config(text)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "netlify.toml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(RepositoryError, match="larger than 256 KiB"):
        read_config(tmp_path)


def test_a_file_that_is_a_link_a_folder_or_a_pipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "netlify.toml"
    path.symlink_to("/etc/passwd")
    with pytest.raises(RepositoryError, match="symbolic link"):
        read_config(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(RepositoryError, match="not a regular file"):
        read_config(tmp_path)


@given(st.text(max_size=60))
def test_no_folder_ever_leads_out_of_the_repository(publish: str) -> None:
    quoted = "".join(f"\\U{ord(char):08x}" for char in publish if not 0xD800 <= ord(char) < 0xE000)
    try:
        config = parse_config(f'[build]\npublish = "{quoted}"'.encode())
    except RepositoryError:
        return
    assert not config.publish.startswith("/")
    assert ".." not in config.publish.split("/")
