"""Triggers that hold append-only tables against hand-written SQL too."""

from __future__ import annotations

from alembic import op

_POSTGRESQL_FUNCTION = """
CREATE OR REPLACE FUNCTION carina_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def make_append_only(table: str) -> None:
    """Refuse every UPDATE and DELETE of a table; on databases other than SQLite and PostgreSQL nothing is done.

    Args:
        table: Its name; comes from a revision, never from a user.
    """
    dialect = op.get_context().dialect.name
    if dialect == "postgresql":
        op.execute(_POSTGRESQL_FUNCTION)
    for action in ("update", "delete"):
        trigger = f"{table}_no_{action}"
        if dialect == "sqlite":
            op.execute(
                f"CREATE TRIGGER IF NOT EXISTS {trigger} BEFORE {action.upper()} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        elif dialect == "postgresql":
            op.execute(f"DROP TRIGGER IF EXISTS {trigger} ON {table}")
            op.execute(
                f"CREATE TRIGGER {trigger} BEFORE {action.upper()} ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION carina_append_only()"
            )
