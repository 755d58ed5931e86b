"""How long to wait before the next connection.

Rules:
- Full jitter: a random share of a span that doubles with every failure, so that replicas do not come back in step.
- No wait is longer than the longest one (D: reconnects are capped at 5 s).
- A connection that held for a while forgives the failures before it.
- A cause that only a person can mend waits at the slow end, at least half of the longest span.

Layer: adapter; pure: randomness and time come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_DOUBLINGS = 16
"""Beyond this the span has long reached any sensible cap; it keeps the power of two small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The spans between connections."""

    first: timedelta = timedelta(milliseconds=200)
    longest: timedelta = timedelta(seconds=5)
    steady: timedelta = timedelta(seconds=10)
    """How long a connection must have held to count as a good one."""

    def wait(self, failures: int, fraction: float, *, slow: bool = False) -> timedelta:
        """The span before the next attempt.

        Args:
            failures: connections that ended badly in a row, the last one included; from 1.
            fraction: the random share, 0 to 1, drawn anew for each call.
            slow: whether the cause needs a person (credentials, a second client with our ID).
        """
        if slow:
            return self.longest / 2 + fraction * self.longest / 2
        doublings = min(max(failures - 1, 0), _DOUBLINGS)
        span = self.first * (1 << doublings)
        return fraction * min(span, self.longest)

    def failures_after(self, failures: int, held: timedelta) -> int:
        """The failures in a row once a connection that held for `held` has ended."""
        return 1 if held >= self.steady else failures + 1
