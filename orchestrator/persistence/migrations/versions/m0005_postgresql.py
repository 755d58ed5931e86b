"""What PostgreSQL is given to look into JSON, versions and instants, and the epoch of whoever serves a database.

SQLite has these functions from each connection (`functions`), or of its own.

Rules:
- No function raises, whatever the text: the order in which the parts of a condition are evaluated is not ours.
- A number is compared as a decimal: an integer of 64 bits as it is, anything else as the double that Python reads.

Spec: SemVer 2.0.0 §2, §11; RFC 3339 §5.6; the Python functions in `functions` and `conversions`, which a property test
holds these to.
Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NUMBER = "(?:0|[1-9][0-9]*)"
_IDENTIFIER = f"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = "[0-9a-zA-Z-]+"
_SEMVER = (
    rf"^({_NUMBER})\.({_NUMBER})\.({_NUMBER})"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+{_BUILD}(?:\.{_BUILD})*)?$"
)

_FUNCTIONS = (
    r"""
CREATE FUNCTION otao_text(value json) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN json_typeof(value) = 'string' THEN value #>> '{}' END
$$
""",
    r"""
CREATE FUNCTION otao_value(value json) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT value #>> '{}'
$$
""",
    r"""
CREATE FUNCTION otao_boolean(value json) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN json_typeof(value) = 'boolean' THEN CASE value #>> '{}' WHEN 'true' THEN 1 ELSE 0 END END
$$
""",
    r"""
CREATE FUNCTION otao_type(value json) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE json_typeof(value)
        WHEN 'string' THEN 'text'
        WHEN 'number' THEN 'real'
        WHEN 'boolean' THEN value #>> '{}'
        ELSE json_typeof(value)
    END
$$
""",
    r"""
CREATE FUNCTION otao_double(digits text) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    power text := substring(digits FROM '[eE][+]?(-?[0-9]+)$');
    exact numeric;
    approximate double precision;
BEGIN
    IF length(digits) > 1000 OR length(power) > 5 THEN
        RETURN NULL;
    END IF;
    exact := digits::numeric;
    IF digits ~ '^-?[0-9]+$' AND exact BETWEEN -9223372036854775808 AND 9223372036854775807 THEN
        RETURN exact;
    END IF;
    IF abs(exact) > 1.7976931348623157e308 THEN
        RETURN NULL;
    END IF;
    IF abs(exact) < 5e-324 THEN
        RETURN 0;
    END IF;
    approximate := exact::double precision;
    IF abs(approximate) >= 9007199254740992
        AND approximate >= -9223372036854775808 AND approximate < 9223372036854775808
    THEN
        RETURN approximate::bigint::numeric;
    END IF;
    RETURN approximate::text::numeric;
END
$$
""",
    r"""
CREATE FUNCTION otao_number(value json) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN json_typeof(value) = 'number' THEN
        CASE WHEN (value #>> '{}') ~ '^-?[0-9]{1,18}$' THEN (value #>> '{}')::numeric
            ELSE otao_double(value #>> '{}')
        END
    END
$$
""",
    r"""
CREATE FUNCTION otao_elements(list json) RETURNS TABLE (value json, type text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT item.value, otao_type(item.value)
    FROM json_array_elements(CASE WHEN json_typeof(list) = 'array' THEN list ELSE '[]'::json END) AS item
$$
""",
    rf"""
CREATE FUNCTION otao_semver_key(version text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    parts text[];
    identifier text;
    key text := '';
BEGIN
    IF length(version) > 128 THEN
        RETURN NULL;
    END IF;
    parts := regexp_match(version, '{_SEMVER}');
    IF parts IS NULL THEN
        RETURN NULL;
    END IF;
    FOREACH identifier IN ARRAY parts[1:3] LOOP
        key := key || lpad(length(identifier)::text, 3, '0') || identifier;
    END LOOP;
    IF parts[4] IS NULL THEN
        RETURN key || '2';
    END IF;
    FOREACH identifier IN ARRAY string_to_array(parts[4], '.') LOOP
        IF identifier ~ '^[0-9]+$' THEN
            key := key || '0' || lpad(length(identifier)::text, 3, '0') || identifier;
        ELSE
            key := key || '1' || identifier || ' ';
        END IF;
    END LOOP;
    RETURN key;
END
$$
""",
    r"""
CREATE FUNCTION otao_instant_us(moment text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    parts text[];
    year integer;
    month integer;
    day integer;
    away integer := 0;
    found bigint;
BEGIN
    parts := regexp_match(moment, '^([0-9]{4})-([0-9][0-9])-([0-9][0-9])T([0-9][0-9]):([0-9][0-9]):([0-9][0-9])'
        '(?:[.]([0-9]{1,9}))?(?:Z|([+-])([0-9][0-9]):([0-9][0-9]))$');
    IF parts IS NULL THEN
        RETURN NULL;
    END IF;
    year := parts[1];
    month := parts[2];
    day := parts[3];
    IF year < 1 OR month NOT BETWEEN 1 AND 12 OR day < 1 OR parts[4]::int > 23 OR parts[5]::int > 59
        OR parts[6]::int > 59
    THEN
        RETURN NULL;
    END IF;
    IF day > extract(day FROM make_date(year, month, 1) + interval '1 month' - interval '1 day') THEN
        RETURN NULL;
    END IF;
    IF parts[8] IS NOT NULL THEN
        away := parts[9]::int * 60 + parts[10]::int;
        IF away >= 1440 THEN
            RETURN NULL;
        END IF;
        IF parts[8] = '-' THEN
            away := -away;
        END IF;
    END IF;
    found := ((make_date(year, month, day) - date '1970-01-01')::bigint * 86400 + parts[4]::int * 3600
        + parts[5]::int * 60 + parts[6]::int - away * 60) * 1000000
        + rpad(left(coalesce(parts[7], '0'), 6), 6, '0')::int;
    -- Years 1 to 9999.
    IF found NOT BETWEEN -62135596800000000 AND 253402300799999999 THEN
        RETURN NULL;
    END IF;
    RETURN found;
END
$$
""",
)

_HOT_ROWS = "ALTER TABLE endpoint_state SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05)"
"""Room beside each row for its next version: a page of a sweep then leaves the indexes alone."""


def upgrade() -> None:
    """Add the column, and the functions where they are not the connection's own."""
    op.add_column("installation", sa.Column("epoch", sa.Integer(), nullable=False, server_default=sa.text("0")))
    if op.get_bind().dialect.name == "postgresql":
        for statement in (*_FUNCTIONS, _HOT_ROWS):
            # As it is: colons in it are no parameters.
            op.get_bind().exec_driver_sql(statement)
