"""A deploy from a zip file: spooled to disk, read safely, and taken through the deploy path."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterable
from pathlib import Path

from blackstart.control.archive import Archive, read_archive
from blackstart.control.deploys import MAX_FILE_BYTES
from blackstart.control.desk import Desk
from blackstart.control.requests import MAX_FILES
from blackstart.errors import StorageError, TooLargeError
from blackstart.model import Deploy, InvalidDeploy, Site

MAX_ZIP_BYTES = MAX_FILE_BYTES
"""What may be sent as one file may be sent as one zip file."""

MAX_UNPACKED_BYTES = MAX_FILE_BYTES


async def deploy_zip(
    desk: Desk, site: Site, chunks: AsyncIterable[bytes], *, title: str | None
) -> Deploy | InvalidDeploy:
    """Take a zip file whole, or not at all: nothing of a bad one reaches the object store.

    Raises: UsageError for what is no sane zip file; TooLargeError, packed or not; StorageError
    when the disk that takes it meanwhile is full.
    """
    with tempfile.TemporaryDirectory(prefix="blackstart-zip-", dir=desk.spool) as folder:
        path = Path(folder) / "upload.zip"
        await _spool(chunks, path)
        archive = await asyncio.to_thread(
            read_archive, path, max_files=MAX_FILES, max_bytes=MAX_UNPACKED_BYTES
        )
        with archive:
            return await _deploy(desk, site, archive, title)


async def _deploy(
    desk: Desk, site: Site, archive: Archive, title: str | None
) -> Deploy | InvalidDeploy:
    files = await archive.digests()
    branch = site.repo.branch if site.repo else "main"
    deploy = await desk.deploys.create(site.id, files, branch=branch, title=title)
    required = set(deploy.metadata.pending_uploads)
    try:
        for file in files:
            if file.sha1 in required:
                await desk.deploys.upload(file.sha1, archive.stream(file.path))
                required.discard(file.sha1)
    except BaseException:
        # Nobody could resume it: the client has no list of what is required.
        await desk.deploys.cancel(deploy.id)
        raise
    return await desk.incoming.advance(deploy.id)


async def _spool(chunks: AsyncIterable[bytes], path: Path) -> None:
    """Write the body to a file as it comes."""
    size = 0
    try:
        with await asyncio.to_thread(open, path, "wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > MAX_ZIP_BYTES:
                    raise TooLargeError(f"the zip file is longer than {MAX_ZIP_BYTES:,} bytes")
                await asyncio.to_thread(file.write, chunk)
    except OSError as error:
        raise StorageError(f"cannot keep the upload: {error.strerror}") from error
