"""How long it takes to start the command line: the bare interpreter, `otao --help`, a command's help, one call.

Run: script/bench startup [-- --times N]. Prints the median and the slowest in milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

LIMIT_MILLISECONDS = 150.0
"""Of `otao --help`."""
ANSWER = b'{"endpoints":0,"byVersion":{},"unknownVersion":0,"byState":{},"failures":[]}'


class Fake(BaseHTTPRequestHandler):
    """Answers every call with an empty fleet."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    server = HTTPServer(("127.0.0.1", 0), Fake)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    otao = [sys.executable, "-m", "orchestrator.cli"]
    address = f"http://127.0.0.1:{server.server_port}"
    python = measure("python -c pass", [sys.executable, "-c", "pass"], times)
    helped = measure("otao --help", [*otao, "--help"], times)
    measure("otao --version", [*otao, "--version"], times)
    measure("otao software put --help", [*otao, "software", "put", "--help"], times)
    measure("otao summary, in a pipe", [*otao, "summary", "-a", "x", "--server", address], times)
    print(f"otao --help over the interpreter: {helped - python:.0f} ms; limit {LIMIT_MILLISECONDS:.0f} ms in all")
    server.shutdown()
    if helped > LIMIT_MILLISECONDS:
        sys.exit("otao --help is too slow")


def measure(name: str, command: list[str], times: int) -> float:
    """Run a command so often, after once to warm up; return the median in milliseconds."""
    spans = []
    for _ in range(times + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        spans.append(1000 * (time.perf_counter() - begun))
    median = statistics.median(spans[1:])
    print(f"{name:28} {median:6.0f} ms in the median, {max(spans[1:]):6.0f} ms at most")
    return median


if __name__ == "__main__":
    main()
