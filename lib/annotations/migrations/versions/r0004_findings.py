"""Findings of whole images, beside label maps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; versions of before have none."""
    op.add_column("annotations", sa.Column("findings", sa.JSON))
