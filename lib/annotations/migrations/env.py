"""What Alembic runs: every outstanding revision, in the transaction that `layout.bring_up_to_date` opened."""

from __future__ import annotations

from alembic import context

from carina.annotations.database import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
