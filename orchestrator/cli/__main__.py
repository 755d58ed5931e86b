"""Lets `python -m orchestrator.cli` do what `otao` does, where no command was installed.

Layer: cli.
"""

from __future__ import annotations

from orchestrator.cli.main import main

if __name__ == "__main__":
    main(prog_name="otao")
