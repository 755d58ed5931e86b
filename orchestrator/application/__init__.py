"""Use cases over ports: load, decide, store, then let the edge act.

Nothing here may import SQL, HTTP or MQTT libraries; ports are `typing.Protocol`s in `ports`.

Layer: application; imports `protocol` and `orchestrator.domain`.
"""
