"""A manifest: the files a client announced for a deploy, kept apart so deploys stay small."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from blackstart.model.document import Document, Part

Sha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class ManifestFile(Part):
    """One announced file: its path without leading slash, digest, and size in bytes.

    A client of the API tells digests only: the size is then None until the bytes are there.
    """

    path: str
    sha1: Sha1
    size: int | None = Field(default=None, ge=0)


class Manifest(Document):
    """All files of one deploy; its id is the deploy's."""

    files: list[ManifestFile]
