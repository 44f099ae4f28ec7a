"""Open the dashboard, read it for a while and leave, for ever: in a process of its own, beside a soak.

    python -m tests.chaos.visitors HOST PORT SECONDS

Each visit lasts so many seconds. A line is printed behind each; it ends when its standard input does.
"""

from __future__ import annotations

import select
import sys

from benchmarks.pageclient import PageClient


def main() -> None:
    """Visit until nobody holds the other end of standard input."""
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    while not select.select([sys.stdin], [], [], 0.0)[0]:
        with PageClient(host, port) as page:
            n_bytes = page.read(within_s=seconds)
        print(n_bytes, flush=True)


if __name__ == "__main__":
    main()
