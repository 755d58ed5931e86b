"""The ports on SQLAlchemy Core; the only place that knows SQL.

Hot statements are few and constant per batch, and each runs in a single step of the database (rows go in as one
VALUES list and come out as one JSON array): a step gives up the interpreter lock, and under a busy event loop each
further step waits for it (decision 0005).

Layer: persistence; imports `orchestrator.application` and below.
"""
