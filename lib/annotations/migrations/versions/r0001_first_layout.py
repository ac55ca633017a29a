"""The layout of carina 0.1 before it counted its layouts.

Databases of that time have some or all of these tables and no revision number, so every step passes over what is there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from carina.annotations.migrations.append_only import make_append_only

revision = "0001"
down_revision = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make what is missing."""
    _annotations()
    _around_annotations()
    _jobs()
    op.create_table(
        "splits",
        sa.Column("task", sa.String(128), primary_key=True),
        sa.Column("patient_key", sa.String(64), primary_key=True),
        sa.Column("split", sa.String(16), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        if_not_exists=True,
    )
    for table in ("annotations", "withdrawals", "splits", "facts"):
        make_append_only(table)


def _annotations() -> None:
    op.create_table(
        "annotations",
        sa.Column("sequence", _COUNTER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("image_id", sa.String(128), nullable=False),
        sa.Column("task", sa.String(128)),
        sa.Column("tag", sa.String(128), nullable=False),
        sa.Column("author", sa.String(256)),
        sa.Column("parent", sa.String(32), sa.ForeignKey("annotations.id")),
        sa.Column("model_version", sa.String(128)),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("file_name", sa.String(300), nullable=False),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("grid", sa.JSON, nullable=False),
        sa.Column("voxels_changed", sa.BigInteger),
        sa.Column("patient_key", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("annotations_by_image", "annotations", ["image_id", "tag", "sequence"], if_not_exists=True)
    op.create_index("ix_annotations_patient_key", "annotations", ["patient_key"], if_not_exists=True)


def _around_annotations() -> None:
    op.create_table(
        "withdrawals",
        sa.Column("annotation_id", sa.String(32), sa.ForeignKey("annotations.id"), primary_key=True),
        sa.Column("author", sa.String(256)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "deliveries",
        sa.Column("annotation_id", sa.String(32), sa.ForeignKey("annotations.id"), primary_key=True),
        sa.Column("sop_instance_uid", sa.String(64), nullable=False, unique=True),
        sa.Column("series_instance_uid", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("next_try", sa.DateTime, nullable=False),
        sa.Column("delivered_at", sa.DateTime),
        if_not_exists=True,
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state"], if_not_exists=True)
    op.create_table(
        "image_info",
        sa.Column("subject", sa.String(128), primary_key=True),
        sa.Column("info", sa.JSON, nullable=False),
        sa.Column("updated", sa.DateTime, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "label_info",
        sa.Column("subject", sa.String(32), sa.ForeignKey("annotations.id"), primary_key=True),
        sa.Column("info", sa.JSON, nullable=False),
        sa.Column("updated", sa.DateTime, nullable=False),
        if_not_exists=True,
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("sequence", _COUNTER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("task", sa.String(128), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("author", sa.String(256)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("pid", sa.Integer),
        sa.Column("process_started", sa.Float(53)),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("started", sa.DateTime),
        sa.Column("ended", sa.DateTime),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("ix_jobs_state", "jobs", ["state"], if_not_exists=True)
