"""API keys as a file: who may speak to the service, and what each of them may do.

Rules:
- A key is shown once, when it is made; kept is its SHA-256. It is 256 bits of chance, so that no salt is needed.
- The file is replaced whole, with mode 0600, by one writer at a time: a reader sees it before or after, never between.
- A file in which one line is not as it must be is refused as a whole: who may do what is not guessed.
- A file that others may write is refused, as they could add keys of their own.

Layer: keys; beside settings. The command line writes the file, the service reads it.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX = "otao_"
"""How every key begins, so that one that was leaked is found by those who search for them."""
_SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TAKEN = frozenset({"anonymous", "mqtt"})
"""Names that the audit gives to those who have no key."""
_MEMBERS = {"name", "role", "sha256", "createdAt"}
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class KeysError(Exception):
    """The file of API keys cannot be used, or not so."""

    code = "api-keys-invalid"


class Role(Enum):
    """What the holder of a key may do."""

    OPERATOR = "operator"
    """Everything."""
    VIEWER = "viewer"
    """Read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, as far as it is kept."""

    name: str
    """Unique in the file; what the audit calls its holder."""
    role: Role
    sha256: str
    created_at: datetime


def read(path: Path) -> list[ApiKey]:
    """The keys of the file, the oldest first; none when there is no file.

    Raises:
        KeysError: the file cannot be read, or is not as it must be.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _WRITABLE_BY_OTHERS:
                raise KeysError(f"{path}: others may write it: chmod 600 {path}")
            text = file.read().decode()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise KeysError(f"{path}: cannot be read: {reason}") from error
    return _parsed(path, text)


def create(path: Path, name: str, role: Role, now: datetime) -> str:
    """Add a key of this name to the file, which is made if it is not there; return the key itself.

    Raises:
        KeysError: there is one of this name, the name cannot be one, or the file cannot be read or written.
    """
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise KeysError(
            f"{name!r} cannot name a key: 1 to 64 letters, digits and . _ @ -, beginning with a letter or digit, "
            "and neither 'anonymous' nor 'mqtt'"
        )
    key = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    with _locked(path):
        present = read(path)
        if any(item.name == name for item in present):
            raise KeysError(f"{path}: there is a key {name} already; revoke it first")
        _write(path, [*present, ApiKey(name=name, role=role, sha256=_digest(key), created_at=now)])
    return key


def revoke(path: Path, name: str) -> int:
    """Take a key out of the file; return how many are left.

    Raises:
        KeysError: there is none of this name, or the file cannot be read or written.
    """
    with _locked(path):
        present = read(path)
        left = [item for item in present if item.name != name]
        if len(left) == len(present):
            raise KeysError(f"{path}: there is no key {name!r}")
        _write(path, left)
    return len(left)


def find(keys: Sequence[ApiKey], given: str) -> ApiKey | None:
    """The key that was given, or None; how long it takes tells nothing of the keys."""
    digest = _digest(given)
    found: ApiKey | None = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def build(key: ApiKey) -> str:
    """The line of a key, without line break; the inverse of `parse`."""
    created_at = key.created_at.isoformat(timespec="seconds")
    return json.dumps({"name": key.name, "role": key.role.value, "sha256": key.sha256, "createdAt": created_at})


def parse(line: str) -> ApiKey:
    """The key of a line.

    Raises:
        ValueError: it is no line of a key.
    """
    members = json.loads(line)
    if not isinstance(members, dict) or members.keys() != _MEMBERS:
        raise ValueError("it must be an object with name, role, sha256 and createdAt")
    name, digest, created_at = (members[member] for member in ("name", "sha256", "createdAt"))
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError("its name cannot be one")
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise ValueError("its sha256 must be 64 hexadecimal digits in lower case")
    instant = datetime.fromisoformat(str(created_at))
    if instant.tzinfo is None:
        raise ValueError("its createdAt must name an offset from UTC")
    return ApiKey(name=name, role=Role(members["role"]), sha256=digest, created_at=instant)


def _parsed(path: Path, text: str) -> list[ApiKey]:
    found: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            key = parse(line)
        except (ValueError, RecursionError) as error:
            raise KeysError(f"{path}:{number}: this is no API key: {_cause(error)}") from None
        if key.name in found:
            raise KeysError(f"{path}:{number}: there are two keys {key.name}")
        found[key.name] = key
    return list(found.values())


def _cause(error: Exception) -> str:
    return "it is no JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else str(error)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other writers out; the folder is locked, as the file itself is replaced."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeysError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    text = "".join(f"{build(key)}\n" for key in keys)
    try:
        # mkstemp makes it with mode 0600.
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise KeysError(f"{path}: cannot be written: {error.strerror}") from error
