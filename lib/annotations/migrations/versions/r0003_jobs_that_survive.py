"""Jobs: how often each was started and resumed by itself, and where it runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns; jobs of before count as started once where they were started at all."""
    op.add_column("jobs", sa.Column("attempt", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("retries", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("slot", sa.String(64)))
    op.execute("UPDATE jobs SET attempt = 1 WHERE started IS NOT NULL")
