"""The MQTT edge: the one package that speaks MQTT for the service, and knows the broker of demonstrations.

It may import `protocol` and nothing else of ours; what it gives to others is the port `protocol.links.Link`.

Layer: adapter.
"""
