"""The wire: topics, messages and their codecs, and the port to an MQTT library.

May not enter: I/O, clocks, randomness, asyncio, an MQTT library, anything of the service's state.

Layer: protocol, the lowest; imports nothing of ours.
"""
