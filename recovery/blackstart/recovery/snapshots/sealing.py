"""Encryption at rest: AES-256-GCM, with a key that only the environment knows.

Names of sealed chunks are keyed digests: to whoever reads the bucket without
the key they tell neither what is in a chunk nor whether two keys saw the same.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blackstart.errors import DigestMismatchError, UsageError

KEY_VARIABLE = "BLACKSTART_SNAPSHOT_KEY"
KEY_BYTES = 32
NONCE_BYTES = 12


class Sealer:
    """Seals and opens objects under one key; each is bound to the name it is kept under."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_BYTES
        self._aead = AESGCM(hmac.digest(key, b"blackstart snapshot: content", "sha256"))
        self._naming = hmac.digest(key, b"blackstart snapshot: names", "sha256")

    @classmethod
    def from_text(cls, text: str) -> Sealer:
        """From 32 bytes in base64 or hex. Raises: UsageError, which does not repeat the text."""
        for decode in (_from_hex, _from_base64):
            try:
                key = decode(text.strip())
            except (ValueError, binascii.Error):
                continue
            if len(key) == KEY_BYTES:
                return cls(key)
        raise UsageError(
            f"{KEY_VARIABLE} is not a key of {KEY_BYTES} bytes",
            hint="make one with `openssl rand -base64 32`",
        )

    def digest(self, data: bytes) -> str:
        """The keyed digest of content, in hex."""
        return hmac.digest(self._naming, data, "sha256").hex()

    def seal(self, data: bytes, name: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, data, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Raises: DigestMismatchError for another key, another name or changed bytes."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise DigestMismatchError(
                f"{name} cannot be opened: it is damaged, or sealed with another key",
                hint=f"check {KEY_VARIABLE}",
            ) from error


def digest(data: bytes, sealer: Sealer | None) -> str:
    """What names content: SHA-256 in hex, keyed where it is sealed."""
    return sealer.digest(data) if sealer else hashlib.sha256(data).hexdigest()


def _from_hex(text: str) -> bytes:
    return bytes.fromhex(text)


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
