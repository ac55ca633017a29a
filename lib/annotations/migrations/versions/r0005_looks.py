"""Looks: what a model saw in an image, for choosing what to label next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "looks",
        sa.Column("task", sa.String(128), primary_key=True),
        sa.Column("image_id", sa.String(128), primary_key=True),
        sa.Column("model_version", sa.String(128), nullable=False),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.Column("presence", sa.JSON, nullable=False),
        sa.Column("updated", sa.DateTime, nullable=False),
    )
