"""Which version of Otao this is.

Layer: application.
"""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """The version of the installed distribution; `0` when it runs without being installed."""
    try:
        return metadata.version("otao")
    except metadata.PackageNotFoundError:
        return "0"
