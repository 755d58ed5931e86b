"""Drawings of an upgrade graph: as text for terminals, as DOT for Graphviz, as SVG for pages.

Rules:
- Whatever a drawing says by colour or shape it says in words as well.
- Nothing is left out but, in dense graphs, edges that longer ways cover; then the drawing says how many.

Layer: application; pure.
"""
