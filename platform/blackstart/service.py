"""How a role becomes a server: its socket, its logs, and an orderly end when asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvicorn
import uvloop

from blackstart.errors import ProcessError, UsageError

T = TypeVar("T")

ANSWER_GRACE_S = 3
"""How long answers under way may take to go out once the server was asked to stop."""


def run(work: Coroutine[Any, Any, T]) -> T | None:
    """Run to the end, or until SIGTERM, SIGHUP or SIGINT: `work` is then cancelled and awaited.

    Later signals change nothing: `work` bounds its own clean-up. Returns what
    `work` returned, None when SIGTERM or SIGHUP ended it.
    Raises: KeyboardInterrupt after SIGINT, when all is cleaned up.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received, result = runner.run(_until_signal(work))
    if received is signal.SIGINT:
        raise KeyboardInterrupt
    return result


async def _until_signal(
    work: Coroutine[Any, Any, T],
) -> tuple[signal.Signals | None, T | None]:
    task = asyncio.ensure_future(work)
    received: list[signal.Signals] = []

    def stop(signum: signal.Signals) -> None:
        if not received:
            task.cancel()
        received.append(signum)

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, stop, signum)
    result = None
    try:
        result = await task
    except asyncio.CancelledError:
        if not received:
            raise
    return received[0] if received else None, result


def bind(listen: str) -> socket.socket:
    """A socket bound to `HOST:PORT`; port 0 takes a free one.

    Raises: UsageError when that is no address; ProcessError when it is taken or not ours.
    """
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"not an address to listen on: {listen!r}", hint="write HOST:PORT")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ProcessError(f"cannot listen on {listen}: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise ProcessError(f"cannot listen on {listen}: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def url_of(sock: socket.socket, scheme: str = "http") -> str:
    """The HTTP address of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


async def serve_http(
    app: Any,
    sock: socket.socket,
    *,
    ready: Callable[[str], None],
    date_header: bool = True,
    work: asyncio.Task[None] | None = None,
    tls_cert: Path | None = None,
) -> None:
    """Serve an ASGI application until cancelled; `ready` is told the address once it answers.

    When cancelled, nothing new is accepted and answers under way get
    `ANSWER_GRACE_S`. `work` runs beside the server, which ends with it. `tls_cert` is a PEM
    file with a certificate and its key.
    """
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=date_header,
        timeout_graceful_shutdown=ANSWER_GRACE_S,
        ssl_certfile=tls_cert,
    )
    scheme = "http" if tls_cert is None else "https"
    server = _Server(config, lambda: ready(url_of(sock, scheme)))
    serving = asyncio.ensure_future(server.serve([sock]))
    tasks: set[asyncio.Future[None]] = {serving} if work is None else {serving, work}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        await serving
    if work is not None:
        work.result()


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready, and leaves signals to `run`."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def configure_logs(level: str, form: str) -> None:
    """Log to stderr: JSON lines, or for people where stderr is a terminal (`auto`)."""
    pretty = form == "pretty" or (form == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: list[structlog.typing.Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                # The default prints every frame's variables, secrets among them.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn", "uvicorn.error", "pymongo", "asyncio", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
