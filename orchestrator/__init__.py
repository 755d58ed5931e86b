"""The orchestrator: definitions in, offers out, reports tracked.

Layers, each importing only those before it: `domain` (pure decisions), `application` (use cases over ports),
`persistence`, `api` and `cli` (edges), `service` (composition).

Layer: package root; holds nothing itself.
"""
