"""What benches have found: as values, as a file, as a part of a page, as a drawing.

Nothing here measures, so that words can be changed without measuring again.
"""
