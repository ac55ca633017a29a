"""Long work as supervised subprocesses whose state is in the database, so that a restarted server knows them."""
