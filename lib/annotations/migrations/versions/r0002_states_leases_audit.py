"""States of cases, leases, the audit trail; time spent and merged versions of an annotation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from carina.annotations.migrations.append_only import make_append_only

revision = "0002"
down_revision = "0001"

_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add columns and tables, and give every case with a label the state that its labels say."""
    op.add_column("annotations", sa.Column("time_spent_s", sa.Float(53)))
    op.add_column("annotations", sa.Column("sources", sa.JSON))
    op.create_table(
        "case_states",
        sa.Column("image_id", sa.String(128), primary_key=True),
        sa.Column("task", sa.String(128), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("annotation_id", sa.String(32), sa.ForeignKey("annotations.id")),
        sa.Column("author", sa.String(256)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed", sa.DateTime, nullable=False),
    )
    op.create_index("ix_case_states_state", "case_states", ["state"])
    op.create_table(
        "leases",
        sa.Column("image_id", sa.String(128), primary_key=True),
        sa.Column("holder", sa.String(256), nullable=False),
        sa.Column("taken", sa.DateTime, nullable=False),
        sa.Column("expires", sa.DateTime, nullable=False),
    )
    op.create_index("ix_leases_expires", "leases", ["expires"])
    op.create_table(
        "audit",
        sa.Column("sequence", _COUNTER, primary_key=True, autoincrement=True),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("author", sa.String(256)),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("image_id", sa.String(128), nullable=False),
        sa.Column("task", sa.String(128)),
        sa.Column("annotation_id", sa.String(32)),
        sa.Column("details", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_image", "audit", ["image_id", "sequence"])
    make_append_only("audit")
    _fill_states()


def _fill_states() -> None:
    """`final` and every other tag but `original` was a person's submitted work."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT image_id, task, tag, id, author, created FROM annotations "
            "WHERE id NOT IN (SELECT annotation_id FROM withdrawals) ORDER BY sequence"
        ).columns(created=sa.DateTime)
    ).all()
    cases: dict[tuple[str, str], dict[str, object]] = {}
    for row in rows:
        key = (row.image_id, row.task or "")
        if row.tag == "original" and key in cases and cases[key]["state"] == "submitted":
            continue
        cases[key] = {
            "image_id": row.image_id,
            "task": row.task or "",
            "state": "draft" if row.tag == "original" else "submitted",
            "annotation_id": row.id,
            "author": row.author,
            "reason": "",
            "changed": row.created,
        }
    if cases:
        table = sa.table(
            "case_states",
            *(sa.column(name) for name in ("image_id", "task", "state", "annotation_id", "author", "reason")),
            sa.column("changed", sa.DateTime),
        )
        op.bulk_insert(table, list(cases.values()))
