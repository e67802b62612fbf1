"""Alembic's way from one schema of the journal to the next."""
