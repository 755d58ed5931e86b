"""Values that every message makes several of: frozen dataclasses to read, structs of C to run.

Rules:
- The type checker sees a frozen dataclass, and so do `dataclasses.fields` and `dataclasses.replace`.
- At run time the class is a `msgspec.Struct` of the same fields: compared and hashed as the dataclass is, frozen too,
  and made in a quarter of the time, or three quarters with 17 members (decision 0032).
- Only what is made for each message is worth it; everything else is a `dataclass` as everywhere.

Layer: protocol; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["quick"]

if TYPE_CHECKING:
    from dataclasses import dataclass as quick
else:
    import dataclasses

    import msgspec

    _NO_MEMBERS = {"__annotations__", "__dict__", "__weakref__"}

    def quick(*, frozen, slots, kw_only=False):  # noqa: ANN001, ANN201 - the type checker reads `dataclass`
        """Make a struct of a class that is written as a dataclass; `frozen` and `slots` must be true."""
        if not (frozen and slots):
            raise ValueError("a quick class is frozen and has slots")

        def build(written):  # noqa: ANN001, ANN202 - the same
            members = {name: member for name, member in vars(written).items() if name not in _NO_MEMBERS}
            model = dataclasses.dataclass(unsafe_hash=True, kw_only=kw_only)(written)
            fields = dataclasses.fields(model)
            methods = {name: member for name, member in members.items() if name not in model.__dataclass_fields__}
            if not all(field.compare for field in fields):
                methods |= {"__eq__": model.__eq__, "__hash__": model.__hash__}
            made = msgspec.defstruct(
                written.__name__,
                [_member(field) for field in fields],
                namespace=methods | {"__qualname__": written.__qualname__},
                module=written.__module__,
                frozen=True,
                kw_only=kw_only,
            )
            made.__dataclass_fields__ = model.__dataclass_fields__
            return made

        return build

    def _member(field):  # noqa: ANN001, ANN202 - the same
        if field.default is not dataclasses.MISSING:
            return field.name, object, field.default
        if field.default_factory is not dataclasses.MISSING:
            return field.name, object, msgspec.field(default_factory=field.default_factory)
        return field.name, object
