"""What the pointer log keeps of one pointer: which deploy got which tree, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from blackstart.store.ledger.times import read_time, time_text

__all__ = ["PointerRecord", "read_time", "time_text"]


@dataclass(frozen=True)
class PointerRecord:
    """One pointer that was about to be set.

    `at` is aware. `previous` is the pointer of the site's deploy before this
    one, the nearest lower number that has one. `file_count` and `byte_count`
    are the tree's.
    """

    at: datetime
    site_id: str
    deploy_id: str
    number: int
    commit_ref: str | None
    tree: str
    previous: str | None
    file_count: int
    byte_count: int

    def fields(self) -> dict[str, Any]:
        """As a line of the log has it: short names, in the order that a person reads."""
        return {
            "at": time_text(self.at),
            "site": self.site_id,
            "deploy": self.deploy_id,
            "number": self.number,
            "commit": self.commit_ref,
            "tree": self.tree,
            "previous": self.previous,
            "files": self.file_count,
            "bytes": self.byte_count,
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Self:
        """Raises: ValueError that says what is no record about it."""
        return cls(
            at=read_time(fields.get("at")),
            site_id=_text(fields, "site"),
            deploy_id=_text(fields, "deploy"),
            number=_count(fields, "number"),
            commit_ref=_text_or_none(fields, "commit"),
            tree=_text(fields, "tree"),
            previous=_text_or_none(fields, "previous"),
            file_count=_count(fields, "files"),
            byte_count=_count(fields, "bytes"),
        )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is {value!r}")
    return value


def _text_or_none(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}")
    return value


def _count(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} is {value!r}")
    return value
