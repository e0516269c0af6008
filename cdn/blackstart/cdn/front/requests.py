"""From the raw bytes of a request's head to what it asks, or to a refusal (RFC 9112).

Two expressions say what a head may look like, and they have no leniency: each line
ends with CR LF, no line is folded, no space stands before a colon. What does
not match is looked at again, only to say what is wrong with it.
"""

from __future__ import annotations

import re

from blackstart.cdn.fields.remembered import remembered
from blackstart.cdn.front.hosts import host_of
from blackstart.cdn.front.limits import Limits
from blackstart.cdn.front.refusal import Refusal
from blackstart.cdn.message import HOP_BY_HOP, Headers

CHUNKED = -1

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/1\.([0-9])")
_FIELDS = re.compile(rf"((?:{_TOKEN}:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n")
_REQUEST_LINE = re.compile(rf"({_TOKEN}) (.+) HTTP/([0-9])\.([0-9])", re.DOTALL)
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(.*)", re.DOTALL)
_FORWARDED = frozenset(
    {
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-path",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-protocol",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-forwarded-uri",
        "x-real-ip",
    }
)
# With these a visitor tells some origins to answer for another page than the one that is asked
# for. Their answer would be kept for everybody who asks for that one.
_OTHER_PAGE = frozenset(
    {
        "x-host",
        "x-http-host-override",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
        "x-rewrite-url",
    }
)
# The same for the method. Only answers to these are kept, so elsewhere they do no harm.
_OTHER_METHOD = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})
_STORED_METHODS = frozenset({"GET", "HEAD"})
_SPECIAL = (
    HOP_BY_HOP | _FORWARDED | _OTHER_PAGE | _OTHER_METHOD | {"host", "content-length", "expect"}
)
_METHOD_CHARACTERS = 32


class Fields:
    """What follows a request line, read: fields for the node, and those that steer the front.

    `host` is set where nothing else steers the front but Connection, whose
    `options` are in lower case.
    """

    __slots__ = ("count", "headers", "host", "options", "special")

    def __init__(self, pairs: list[tuple[str, str]], special: list[tuple[str, str]]) -> None:
        self.count = len(pairs) + len(special)
        said = ",".join([value for name, value in special if name == "connection"])
        self.options = frozenset([each.strip(" \t").lower() for each in said.split(",")]) - {""}
        # RFC 9110 section 7.6.1: a field that is named there goes no further.
        self.headers = Headers.trusted(tuple([x for x in pairs if x[0] not in self.options]))
        self.special = tuple([field for field in special if field[0] != "connection"])
        alone = len(self.special) == 1 and self.special[0][0] == "host"
        self.host = host_of(self.special[0][1]) if alone else None


class Head:
    """A request's head, read: what it asks, and how its body and connection are to be handled.

    `length` is the body's, or CHUNKED. `headers` lack Host, Expect, all that
    concerns this connection only, `forwarded`, which is for `TrustedPeers`, and
    what names another page or method than the request line.
    """

    __slots__ = (
        "expects",
        "forwarded",
        "headers",
        "host",
        "is_1_0",
        "keep_alive",
        "length",
        "method",
        "target",
    )

    def __init__(self, method: str, target: str, is_1_0: bool, fields: Fields) -> None:
        self.method = method
        self.target = target
        self.host = fields.host or ""
        self.headers = fields.headers
        self.is_1_0 = is_1_0
        options = fields.options
        self.keep_alive = "close" not in options and (not is_1_0 or "keep-alive" in options)
        self.length = 0
        self.expects = False
        self.forwarded: list[tuple[str, str]] = []


def read_head(raw: bytes, limits: Limits) -> Head:
    """Read a head, from its request line to its empty line. Raises: Refusal."""
    text = raw.decode("latin-1")
    line, _, rest = text.partition("\r\n")
    match = _LINE.fullmatch(line)
    fields = _read_fields(rest) if match is not None else None
    if match is None or fields is None:
        raise _explained(text, limits)
    method, target, minor = match.groups()
    if len(target) > limits.target_bytes:
        raise Refusal(414, f"a target may have {limits.target_bytes} bytes")
    if fields.count > limits.header_count:
        raise Refusal(431, f"a request may have {limits.header_count} header fields")
    head = Head(method, target, minor == "0", fields)
    if fields.host is None:
        _Special(fields).apply(head)
    if target[0] != "/":
        _reform(head)
    elif "#" in target:
        raise Refusal(400, "a target has no fragment")
    if not head.host:
        raise Refusal(400, "a Host field is needed")
    if len(method) > _METHOD_CHARACTERS or method == "CONNECT":
        raise Refusal(501, "this method is not known here")
    return head


# A client sends the same fields again and again.
@remembered(512, longest=2048)
def _read_fields(text: str) -> Fields | None:
    """Fields up to their empty line; None when they are malformed."""
    match = _FIELDS.fullmatch(text)
    if match is None:
        return None
    pairs: list[tuple[str, str]] = []
    special: list[tuple[str, str]] = []
    for line in match[1].split("\r\n"):
        name, _, value = line.partition(":")
        name = name.lower()
        if name in _SPECIAL:
            special.append((name, value.strip(" \t")))
        elif "_" in name and name.replace("_", "-") in _SPECIAL:
            # Origins behind CGI, WSGI and the like take it for the field with hyphens.
            continue
        else:
            pairs.append((name, value.strip(" \t")))
    pairs.pop()  # What follows the last CR LF is no field.
    return Fields(pairs, special)


def refuse_unfinished(raw: bytes, limits: Limits) -> None:
    """Refuse a head that has not ended yet, when it can't become a good one. Raises: Refusal."""
    if b"\n" in raw.replace(b"\r\n", b""):
        raise Refusal(400, "a line ends with LF alone")
    if len(raw) > limits.target_bytes + 64 and b"\r\n" not in raw[: limits.target_bytes + 64]:
        raise Refusal(414, f"a target may have {limits.target_bytes} bytes")
    if len(raw) > limits.head_bytes:
        raise Refusal(431, f"a head may have {limits.head_bytes} bytes")
    if raw and not raw.startswith(b"\r") and not b"!" <= raw[:1] <= b"~":
        raise Refusal(400, "this is no HTTP request")


class _Special:
    """The fields of one request that steer the front, rather than go to the node."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields.special
        self._options = fields.options

    def apply(self, head: Head) -> None:
        hosts = self._values("host")
        if len(hosts) > 1:
            raise Refusal(400, "there are several Host fields")
        for host in hosts:
            _take_host(head, host)
        pairs = list(head.headers.pairs)
        if head.method not in _STORED_METHODS:
            other = _OTHER_METHOD - self._options
            pairs += [pair for pair in self._fields if pair[0] in other]
        self._take_length(head, pairs)
        expectations = self._values("expect")
        if any(each.lower() != "100-continue" for each in expectations):
            raise Refusal(417, "the only expectation met here is 100-continue")
        # RFC 9110 section 10.1.1: one in an HTTP/1.0 request is ignored.
        head.expects = bool(expectations) and not head.is_1_0
        head.forwarded = [pair for pair in self._fields if pair[0] in _FORWARDED]
        head.headers = Headers.trusted(tuple(pairs))

    def _take_length(self, head: Head, pairs: list[tuple[str, str]]) -> None:
        lengths = self._values("content-length")
        codings = self._values("transfer-encoding")
        if codings:
            if lengths:
                raise Refusal(400, "there are both Content-Length and Transfer-Encoding")
            if head.is_1_0:
                raise Refusal(400, "HTTP/1.0 has no Transfer-Encoding")
            _refuse_codings(codings)
            head.length = CHUNKED
        elif lengths:
            # RFC 9110 section 8.6 lets equal ones pass as one. Nobody sends them in good faith.
            if len(lengths) > 1:
                raise Refusal(400, "there are several Content-Length fields")
            length = lengths[0]
            if not (length.isascii() and length.isdigit()):
                raise Refusal(400, "the Content-Length is not a number")
            if len(length) > 18:
                raise Refusal(413, "the Content-Length is beyond all bounds")
            head.length = int(length)
            pairs.append(("content-length", str(head.length)))

    def _values(self, name: str) -> list[str]:
        return [value for candidate, value in self._fields if candidate == name]


def _refuse_codings(values: list[str]) -> None:
    if len(values) == 1 and values[0].lower() == "chunked":
        return
    codings = [each.strip(" \t").lower() for each in ",".join(values).split(",")]
    # RFC 9112 section 6.3: unless chunked comes last, and once, the body's end is not known.
    if codings[-1] != "chunked" or codings.count("chunked") > 1 or "" in codings:
        raise Refusal(400, "the Transfer-Encoding is not `chunked`")
    raise Refusal(501, "the only Transfer-Encoding known here is `chunked`")


def _take_host(head: Head, value: str) -> None:
    host = host_of(value)
    if host is None:
        raise Refusal(400, "the Host field is not `name` or `name:port`")
    head.host = host


def _reform(head: Head) -> None:
    """Bring a target that is not in origin-form into it (RFC 9112 section 3.2)."""
    target = head.target
    if target == "*":
        if head.method != "OPTIONS":
            raise Refusal(400, "the target `*` is for OPTIONS")
        return
    if head.method == "CONNECT":
        return
    match = _ABSOLUTE.fullmatch(target)
    if match is None or match[1].lower() != "http" or "#" in target:
        raise Refusal(400, "the target is neither a path nor an http URL")
    host = host_of(match[2])
    if host is None:
        raise Refusal(400, "the target's authority is not `name` or `name:port`")
    # Section 3.3: without Host, an HTTP/1.1 request is refused whatever its target is.
    if not head.host and not head.is_1_0:
        raise Refusal(400, "a Host field is needed")
    head.host = host
    if match[3].startswith("/"):
        head.target = match[3]
    elif not match[3] and head.method == "OPTIONS":
        head.target = "*"
    else:
        head.target = f"/{match[3]}"


def _explained(text: str, limits: Limits) -> Refusal:
    """Why a head is not one."""
    line, _, rest = text.partition("\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        return Refusal(400, "the request line is not `METHOD target HTTP/1.1`")
    if match[3] != "1":
        return Refusal(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
    if len(match[2]) > limits.target_bytes:
        return Refusal(414, f"a target may have {limits.target_bytes} bytes")
    if re.fullmatch("[!-~]+", match[2]) is None:
        return Refusal(400, "the target has a character that must be percent-encoded")
    for each in rest.split("\r\n"):
        if each.startswith((" ", "\t")):
            return Refusal(400, "a header line is folded")
        name, colon, _ = each.partition(":")
        if colon and name.endswith((" ", "\t")):
            return Refusal(400, "there is a space before a colon")
    return Refusal(400, "a header line is not `name: value`")
