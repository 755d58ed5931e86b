"""The command `otao`: starts the service, and is else a client of its REST interface.

Rules:
- A command imports what it needs when it runs.
- Exit codes: 0 done, 1 it failed, 2 wrong usage or settings.

Layer: cli; imports settings and service only.
"""
