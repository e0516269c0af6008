"""How long a drill takes and how much memory it needs, by the size of its fleet.

    .venv/bin/python benchmarks/drill.py [--sites 100,200,400] [--runs 3]

Each run is the command as people run it, in a process of its own. Printed are
the median of wall time and peak memory, and both per site beside the first
size: a ratio near 1 or below says that the cost grows no worse than linearly.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description="Time drills by the size of their fleet.")
    parser.add_argument("--sites", default="100,200,400", help="sizes, with commas between")
    parser.add_argument("--runs", type=int, default=3, help="runs of each size")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sites.split(",")]
    print(f"{'sites':>7} {'wall s':>8} {'peak MB':>8} {'ms/site':>8} {'ratio':>6}")
    first = None
    for size in sizes:
        runs = [_run(size) for _ in range(arguments.runs)]
        wall_s = statistics.median(run["wall_s"] for run in runs)
        peak_mb = statistics.median(run["peak_rss_mb"] for run in runs)
        per_site = wall_s / size
        first = first or per_site
        print(
            f"{size:>7} {wall_s:>8.1f} {peak_mb:>8.0f} {per_site * 1000:>8.1f} "
            f"{per_site / first:>6.2f}"
        )


def _run(sites: int) -> dict[str, float]:
    command = [sys.executable, "-P", "-m", "blackstart.cli", "drill", "feb2"]
    command += ["--sites", str(sites), "--json"]
    done = subprocess.run(command, capture_output=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main()
