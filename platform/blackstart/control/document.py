"""The OpenAPI document: FastAPI's, with what stands in front of the routes written into it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from blackstart.control.paths import is_api
from blackstart.control.problems import Problem

UNCHANGED: dict[str, Any] = {"description": "What the client has, by If-None-Match, is still so."}


class DocumentedApi(FastAPI):
    """Every JSON answer to GET below the API's prefix has an entity tag, and may be a 304."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"][Problem.__name__] = Problem.model_json_schema()
            for path, operations in document["paths"].items():
                if is_api(path) and "get" in operations:
                    _tag(operations["get"]["responses"])
        return super().openapi()


def _tag(responses: dict[str, Any]) -> None:
    if "application/json" in responses["200"]["content"]:
        responses["200"]["headers"] = {"ETag": {"schema": {"type": "string"}}}
        responses["304"] = UNCHANGED
