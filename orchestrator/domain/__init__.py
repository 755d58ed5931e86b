"""The decision core: versions, the upgrade graph, filters, attempts, and what each endpoint should run next.

Pure: time comes in as an argument. No I/O, no clock, no asyncio, no JSON texts, no SQL, no MQTT.

Layer: orchestrator.domain; may import `protocol`, imports nothing else of ours.
"""
