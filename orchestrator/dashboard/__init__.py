"""The page for people: what the fleet runs, what is offered, what fails, and why.

No SQL, no MQTT, no business rules.

Layer: dashboard; above `api`, whose use cases, keys and guards it shares.
"""

from orchestrator.dashboard.sites import install

__all__ = ["install"]
