"""Who may call a route: bearer tokens as a FastAPI dependency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from blackstart.control.tokens import ASK_FOR_ONE, TokenService
from blackstart.errors import ForbiddenError, UnauthorizedError
from blackstart.model import Scope, Token

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    bearerFormat="bst_ID_SECRET",
    description="A token made with `blackstart token create`.",
)


class Access:
    """Finds out who asks, once per request, and gives out dependencies that demand a scope."""

    def __init__(self, tokens: TokenService) -> None:
        self._tokens = tokens

    def needs(self, scope: Scope) -> Needs:
        """A dependency that lets tokens with `scope` pass, and gives the route its token."""
        return Needs(self, scope)

    async def identify(self, request: Request) -> Token | None:
        """The token that a request presents, None when it presents none.

        Its id and name are bound to the log lines that follow; the secret never is.
        Raises: UnauthorizedError, the same one again when asked again.
        """
        known = getattr(request.state, "identity", None)
        if known is None:
            bearer = await presented(request)
            if bearer is None:
                return None
            known = request.state.identity = await self._look(request, bearer)
        if isinstance(known, UnauthorizedError):
            raise known
        assert isinstance(known, Token)
        return known

    async def _look(self, request: Request, bearer: str) -> Token | UnauthorizedError:
        if len(request.headers.getlist("authorization")) > 1:
            # A proxy before us may have judged by the other one (RFC 9110 section 5.3).
            text = "there is more than one Authorization field"
            return UnauthorizedError(text, presented=True, hint="send one")
        try:
            token = await self._tokens.authenticate(bearer)
        except UnauthorizedError as error:
            return error
        structlog.contextvars.bind_contextvars(token_id=token.id, token_name=token.name)
        return token


@dataclass(frozen=True)
class Needs:
    """A route's demand for a scope. Equal demands are met once per request."""

    access: Access
    scope: Scope

    async def __call__(
        self,
        request: Request,
        # Read by `identify`; here it puts the demand into the OpenAPI document.
        documented: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> Token:
        """Raises: UnauthorizedError without a valid token, ForbiddenError without the scope."""
        token = await self.access.identify(request)
        if token is None:
            raise UnauthorizedError("this needs a token", presented=False, hint=ASK_FOR_ONE)
        if not token.allows(self.scope):
            raise ForbiddenError(self.scope)
        return token


async def presented(request: Request) -> str | None:
    """The secret text of the Authorization field, when its scheme is Bearer in any case."""
    credentials = await BEARER(request)
    return None if credentials is None else credentials.credentials.strip(" ")


def challenge(error: UnauthorizedError | ForbiddenError) -> str:
    """The WWW-Authenticate field (RFC 6750 section 3): no error code where no token was sent."""
    if isinstance(error, ForbiddenError):
        return f'Bearer realm="blackstart", error="insufficient_scope", scope="{error.scope}"'
    if error.presented:
        text = f'error="invalid_token", error_description="{error.message}"'
        return f'Bearer realm="blackstart", {text}'
    return 'Bearer realm="blackstart"'
