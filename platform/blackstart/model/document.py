"""What all stored documents share: strict fields, `_id` in MongoDB, `id` in code."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackstart.errors import InvalidDocumentError


class Part(BaseModel):
    """A sub-document: no unknown fields, never changed in place."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Document(Part):
    """A document of its own, found by `_id`."""

    id: str = Field(alias="_id")

    def to_mongo(self) -> dict[str, Any]:
        """The document as MongoDB stores it."""
        return self.model_dump(by_alias=True)

    @classmethod
    def from_mongo(cls, raw: dict[str, Any]) -> Self:
        """The document as code knows it. Raises: InvalidDocumentError."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise InvalidDocumentError(
                f"{cls.__name__.lower()} {raw.get('_id')} is invalid: {first_problem(error)}"
            ) from error


def first_problem(error: ValidationError) -> str:
    """Where a document does not validate, and why, in a few words."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "document"
    return f"{where}: {first['msg']}"
