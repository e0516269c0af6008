"""HTTP messages as plain values, so that a node can be driven without sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass, field

from blackstart.errors import HopError

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Headers:
    """Header fields in order, names in lower case, lookup without regard to case; immutable.

    Held as pairs, as the packed bytes that go over a wire, or both: each form
    is made from the other when it is first asked for.
    """

    __slots__ = ("_packed", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs: tuple[tuple[str, str], ...] | None = tuple(
            [(name.lower(), value) for name, value in pairs]
        )
        self._packed: bytes | None = None

    @classmethod
    def trusted(cls, pairs: tuple[tuple[str, str], ...]) -> Headers:
        """Headers from pairs whose names are known to be in lower case already."""
        headers = cls.__new__(cls)
        headers._pairs = pairs
        headers._packed = None
        return headers

    @classmethod
    def from_raw(cls, raw: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Headers as ASGI and sockets carry them: pairs of Latin-1 bytes."""
        pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]
        return cls.trusted(tuple(pairs))

    @classmethod
    def from_packed(cls, packed: bytes) -> Headers:
        """Headers from what `packed` gave."""
        headers = cls.__new__(cls)
        headers._pairs = None
        headers._packed = packed
        return headers

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each field, in order."""
        pairs = self._pairs
        if pairs is None:
            assert self._packed is not None
            lines = self._packed.decode("latin-1").split("\r\n")[:-1]
            pairs = tuple([(name, value) for name, _, value in [x.partition(": ") for x in lines]])
            self._pairs = pairs
        return pairs

    @property
    def packed(self) -> bytes:
        """The fields as Latin-1 bytes, `name: value` and CR LF each."""
        packed = self._packed
        if packed is None:
            assert self._pairs is not None
            text = "".join([f"{name}: {value}\r\n" for name, value in self._pairs])
            packed = self._packed = text.encode("latin-1")
        return packed

    def raw(self) -> list[tuple[bytes, bytes]]:
        """The pairs as Latin-1 bytes, as ASGI wants them."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.pairs]

    def get(self, name: str) -> str | None:
        """The first value of `name`, or None."""
        name = name.lower()
        for candidate, value in self.pairs:
            if candidate == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        name = name.lower()
        return [value for candidate, value in self.pairs if candidate == name]

    def joined(self, name: str) -> str | None:
        """All values of `name` as one comma-separated list (RFC 9110 section 5.3), or None."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def has_any(self, names: Set[str]) -> bool:
        """Whether a field with one of these lower-case names is there."""
        pairs = self._pairs if self._pairs is not None else self.pairs
        return bool(pairs) and not names.isdisjoint(dict(pairs))

    def without(self, names: Collection[str]) -> Headers:
        """A copy that lacks the fields with these lower-case names."""
        return Headers.trusted(tuple([pair for pair in self.pairs if pair[0] not in names]))

    def plus(self, *pairs: tuple[str, str]) -> Headers:
        """A copy with more fields at the end; their names must be in lower case."""
        if self._pairs is None:
            assert self._packed is not None
            text = "".join([f"{name}: {value}\r\n" for name, value in pairs])
            return Headers.from_packed(self._packed + text.encode("latin-1"))
        return Headers.trusted(self._pairs + pairs)

    def end_to_end(self) -> Headers:
        """A copy without the fields that concern one connection only (RFC 9110 section 7.6.1)."""
        if not self.has_any(HOP_BY_HOP):
            return self
        listed = self.joined("connection") or ""
        named = {name.strip().lower() for name in listed.split(",")}
        return self.without(HOP_BY_HOP | named)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.pairs == other.pairs

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        return f"Headers({list(self.pairs)!r})"


Body = bytes | AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Request:
    """What a visitor asks; `target` is the raw path with its query, `host` the Host header.

    `interim` is told of each 1xx answer that comes before the answer itself,
    where whoever asks can pass it on (RFC 9110 section 15.2). `client` is the
    visitor's address, when it is known; `version` the HTTP version that the
    request came in.
    """

    method: str
    target: str
    host: str
    headers: Headers = field(default_factory=Headers)
    body: Body = b""
    scheme: str = "http"
    client: str | None = None
    version: str = "1.1"
    interim: Callable[[int, Headers], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; a body that is an iterator must be read to its end or given to `close_body`."""

    status: int
    headers: Headers = field(default_factory=Headers)
    body: Body = b""


def plain(status: int, line: str) -> Response:
    """A one-line text answer that nobody may store."""
    body = f"{line}\n".encode()
    return Response(
        status,
        Headers.trusted(
            (
                ("content-type", "text/plain; charset=utf-8"),
                ("cache-control", "no-store"),
                ("content-length", str(len(body))),
            )
        ),
        body,
    )


async def close_body(body: Body) -> None:
    """Give up a body without reading it, so that its connection is freed."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


def is_held_back(body: Body) -> bool:
    """Whether who sends this body waits to be told to go on (100), which reading it does."""
    return bool(getattr(body, "expects", False))


async def pieces(body: Body) -> AsyncIterator[bytes]:
    """A body chunk by chunk, however it comes."""
    if isinstance(body, bytes):
        yield body
    else:
        async for chunk in body:
            yield chunk
            del chunk  # The next one may be long in coming.


async def whole_body(body: Body) -> bytes:
    """All of a body, however it comes."""
    return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])


class Relay:
    """A body passed on while it arrives, after chunks that were read `ahead`, and before others.

    A class and not a generator: giving up one that was never started must
    still free the connection behind it.
    """

    def __init__(
        self,
        rest: Body,
        *,
        ahead: Iterable[bytes] = (),
        behind: Iterable[bytes] = (),
        on_chunk: Callable[[int], None] | None = None,
        on_error: Callable[[HopError], None] | None = None,
    ) -> None:
        self._ahead = deque(ahead)
        self._behind = deque(behind)
        if isinstance(rest, bytes):
            self._ahead.append(rest)
            rest = _nothing()
        self._rest = rest
        self._on_chunk = on_chunk
        self._on_error = on_error

    def __aiter__(self) -> Relay:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk = self._ahead.popleft() if self._ahead else await anext(self._rest)
        except HopError as error:
            self._behind.clear()
            if self._on_error is not None:
                self._on_error(error)
            raise
        except StopAsyncIteration:
            if not self._behind:
                raise
            chunk = self._behind.popleft()
        if self._on_chunk is not None:
            self._on_chunk(len(chunk))
        return chunk

    async def aclose(self) -> None:
        self._ahead.clear()
        self._behind.clear()
        await close_body(self._rest)


async def gather_body(body: Body, limit_bytes: int) -> Body:
    """The whole body when it is not longer than the limit; else a stream that loses nothing."""
    if isinstance(body, bytes):
        return body
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in body:
            chunks.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                return Relay(body, ahead=chunks)
    except BaseException:
        await close_body(body)
        raise
    return b"".join(chunks)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
