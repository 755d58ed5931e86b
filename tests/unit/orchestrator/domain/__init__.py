"""Unit tests of the decision core, one module for each of its modules."""
