"""The MQTT edge: the one package that knows an MQTT library.

It may import `protocol` and nothing else of ours; what it gives to others is the port `protocol.links.Link`.

Layer: adapter.
"""
