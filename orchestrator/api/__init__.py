"""REST: HTTP requests in, use cases called, JSON documents and problems out.

Thin: what a request means is decided in `orchestrator.application`; nothing here may import SQL or MQTT.

Layer: api; the only package that knows the web framework.
"""

from orchestrator.api.apps import build
from orchestrator.api.contexts import ApiContext

__all__ = ["ApiContext", "build"]
