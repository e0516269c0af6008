"""From a checkout to the files that get published: the repository's configuration and command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from blackstart.builder.command import Limits, run_command
from blackstart.builder.config import BuildConfig, read_config
from blackstart.builder.files import Publication, published_files, real_folder, rule_problems
from blackstart.builder.tree import shown
from blackstart.clock import Event
from blackstart.errors import RepositoryError

SWITCH = "BLACKSTART_BUILD_COMMANDS=true"


async def produce(
    folder: Path,
    scratch: Path,
    say: Callable[[str], None],
    *,
    commands: Limits | None,
    stop: Event | None = None,
) -> Publication:
    """Do in `folder`, a checkout, what its netlify.toml asks for; `say` is told each line of it.

    `commands` None means that build commands are switched off: then a publish
    folder has to be in the commit. Raises: RepositoryError, BuildCommandError.
    """
    config = read_config(folder)
    if config.command is not None:
        if commands is None:
            _say_that_it_is_off(folder, config, say)
        else:
            await _run(folder, scratch, config, say, commands, stop)
    publication = await asyncio.to_thread(published_files, folder, config)
    for line in publication.skipped:
        say(f"skipped {line}")
    for problem in await asyncio.to_thread(rule_problems, publication):
        say(problem)
    return publication


def _say_that_it_is_off(folder: Path, config: BuildConfig, say: Callable[[str], None]) -> None:
    command = shown(config.command or "")
    say(
        f"build command not run: {command} (commands are off, {SWITCH} at the worker turns them on)"
    )
    if real_folder(folder, config.publish) is None:
        raise RepositoryError(
            f"the publish folder {shown(config.publish)} is not in the commit,"
            " and the command that makes it was not run",
            hint=f"set {SWITCH} at the worker, or commit the folder",
        )


async def _run(
    folder: Path,
    scratch: Path,
    config: BuildConfig,
    say: Callable[[str], None],
    limits: Limits,
    stop: Event | None,
) -> None:
    base = real_folder(folder, config.base)
    if base is None:
        raise RepositoryError(
            f"there is no folder {shown(config.base)} to build in",
            hint="it is build.base in netlify.toml",
        )
    assert config.command is not None
    checkout = folder.stat()
    say(f"$ {shown(config.command)}")
    await run_command(
        config.command,
        folder / base,
        scratch=scratch,
        limits=limits,
        environment=config.environment,
        on_output=say,
        stop=stop,
    )
    _need_the_same(folder, checkout)


def _need_the_same(folder: Path, before: os.stat_result) -> None:
    """A command can take its checkout away, and put a link to any folder in its place."""
    try:
        same = os.path.samestat(folder.lstat(), before)
    except OSError:
        same = False
    if not same:
        raise RepositoryError("the build command took its own checkout away")
