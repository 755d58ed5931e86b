"""Errors of the decision core.

DomainError
├── InvalidVersion (versions)
├── InvalidConstraint (versions)
├── FilterSyntaxError (pieces)
├── VersionConflict (catalogues)
├── WindowError (windows)
└── IllegalMove (attempts)

Layer: orchestrator.domain.
"""


class DomainError(Exception):
    """Something that users gave, or a move that was asked for, is not legal; `code` is stable and kebab-case."""

    code = "domain-error"
