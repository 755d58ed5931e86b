"""The JSON documents in which operators read and write what is stored, whatever carries them.

`bodies` reads, `texts` writes, `merging` patches; the others hold one kind of document each.

Layer: application; pure.
"""
