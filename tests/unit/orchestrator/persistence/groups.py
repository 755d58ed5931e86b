"""The filter that the tests of persistence define."""

from __future__ import annotations

from orchestrator.domain.filters import Filter

LAB = Filter(filter_id="lab", expression="attributes.site == 'lab'")
