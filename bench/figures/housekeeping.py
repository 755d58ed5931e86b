"""The figures of `bench/housekeeping.py`: how a database grows in a year, how removals hold the writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.figures import pages
from bench.figures.measured import Measured

SHOWN = (1, 2, 3, 6)
"""Months in the table, beside the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The database at the end of a month."""

    number: int
    """From 1."""
    whole_mib: float
    """With everything kept for ever."""
    bounded_mib: float
    """With retention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A long history of which most is removed, without rests."""

    entries: int
    removed: int
    transactions: int
    median_ms: float
    """For how long a transaction holds the writer."""
    p99_ms: float
    most_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping(Measured):
    """The figures of one run."""

    BENCH: ClassVar[str] = "housekeeping"

    devices: int
    reports: int
    """Of each device a day."""
    days: int
    history_days: int
    history_entries: int
    """Of each endpoint, at most."""
    months: tuple[Month, ...]
    """By ascending number."""
    free_mib: float
    """Of the bounded database, in the end."""
    removal: Removal

    def markdown(self) -> str:
        """See `Measured.markdown`."""
        days = f"{self.history_days} days"
        kept = f"history for {days} and {self.history_entries} entries, audit for {days}"
        head = (
            f"{self.devices:,} devices, {self.reports} reports a day each, {self.days} days of virtual time, SQLite. "
            f"{self.origin.markdown()}\n"
        )
        last = self.months[-1]
        rows = [
            (str(month.number), f"{month.whole_mib:.1f} MiB", f"{month.bounded_mib:.1f} MiB")
            for month in self.months
            if month.number in SHOWN and month is not last
        ]
        bounded = f"{last.bounded_mib:.1f} MiB, of it {self.free_mib:.1f} MiB free"
        rows.append((str(last.number), f"{last.whole_mib:.1f} MiB", bounded))
        gone = self.removal
        removed = (
            f"{gone.removed:,} of {gone.entries:,} history entries removed without rests: {gone.transactions:,} "
            f"transactions, median {gone.median_ms:.1f} ms, p99 {gone.p99_ms:.0f} ms, at most {gone.most_ms:.0f} ms.\n"
        )
        return "\n".join([head, pages.table(("month", "everything kept for ever", kept), rows), removed])
