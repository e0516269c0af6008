"""Misses through a whole node to a fast origin, beside nginx as a proxy with a cache.

    .venv/bin/python benchmarks/cdn_misses.py [--seconds 4] [--rounds 3]

Needs `nginx` and `wrk` (Debian: nginx-light, wrk). Each request has a query of its own, so
that both look for it, ask the origin (an nginx), send the page on and store it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hop import ORIGIN, nginx, running

NGINX = """
  proxy_cache_path {folder}/cache keys_zone=pages:64m max_size=1g;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache pages; proxy_cache_key $host$request_uri; proxy_cache_valid 200 1h;
    }}
  }}
"""
SCRIPT = """
local counter = {start}
request = function()
  counter = counter + 1
  return wrk.format("GET", "/page?" .. counter)
end
"""


@contextmanager
def node(origin: int) -> Iterator[int]:
    command = [sys.executable, "-P", "-m", "blackstart.cli", "cdn", "--listen", "127.0.0.1:0"]
    with running([*command, "--origin", f"http://127.0.0.1:{origin}"]) as process:
        said = process.stdout.readline().decode()
        yield int(said.rsplit(":", 1)[1])


def rate(port: int, seconds: int, start: int, folder: Path) -> float:
    """Requests per second, none of which was asked before. Any answer but 200 ends the run."""
    script = folder / "misses.lua"
    script.write_text(SCRIPT.format(start=start))
    command = ["wrk", "-t1", "-c32", f"-d{seconds}", "-s", str(script), f"http://127.0.0.1:{port}"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(said)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a node's misses beside nginx.")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bytes", type=int, default=1024)
    given = parser.parse_args()
    ratios = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        origin = stack.enter_context(nginx(ORIGIN, given.bytes))
        peer = stack.enter_context(nginx(NGINX, given.bytes, origin=origin))
        own = stack.enter_context(node(origin))
        print(f"{'round':>5} {'nginx':>10} {'node':>10} {'ratio':>6}   requests/s")
        for number in range(1, given.rounds + 1):
            start = number * 100_000_000
            limit = rate(peer, given.seconds, start, folder)
            reached = rate(own, given.seconds, start, folder)
            ratios.append(reached / limit)
            print(f"{number:>5} {limit:>10,.0f} {reached:>10,.0f} {ratios[-1]:>6.2f}", flush=True)
    print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f} (aim: 0.3)")


if __name__ == "__main__":
    main()
