"""Steps from one schema to the next, run by alembic when the database is opened.

Layer: persistence.
"""
