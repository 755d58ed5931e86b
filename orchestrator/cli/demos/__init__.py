"""What `otao demo` is made of: a broker, the service, a simulated fleet, and the story that is told with them.

Rules:
- Everything is done through REST and MQTT, as users and devices do it; nothing reaches into the service.
- Nothing is left behind: no process, no file.

Layer: cli; imports device_sim, and nothing else of the orchestrator.
"""
