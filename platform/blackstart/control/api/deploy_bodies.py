"""The body of a new deploy: JSON or a zip file, on one route, as clients send it."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from blackstart.control.bodies import strict_json
from blackstart.control.requests import CreateDeploy


async def create_deploy_body(request: Request) -> CreateDeploy:
    """The JSON body; none at all is an empty deploy. Raises: RequestValidationError."""
    data = await request.body()
    if not data.strip():
        return CreateDeploy()
    try:
        parsed = strict_json(data)
    except ValueError as error:  # no JSON, or no UTF-8
        detail = {
            "type": "json_invalid",
            "loc": ("body", 0),
            "msg": "JSON decode error",
            "input": {},
            "ctx": {"error": str(error)},
        }
        raise RequestValidationError([detail]) from error
    try:
        return CreateDeploy.model_validate(parsed)
    except ValidationError as error:
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        ) from error


def deploy_body_schema() -> dict[str, Any]:
    """What the OpenAPI document says of it."""
    schema = CreateDeploy.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "requestBody": {
            "content": {
                "application/json": {"schema": schema},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
            }
        }
    }
