"""The journal's tables, and bringing a database to them."""

from pathlib import Path

import sqlalchemy as sa

from agent.ports import JournalUnavailable

metadata = sa.MetaData()

entries = sa.Table(
    "entries",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at_s", sa.Double(), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, index=True),
    sa.Column("payload", sa.LargeBinary(), nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

epochs = sa.Table(
    "epochs",
    metadata,
    sa.Column("epoch", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("at_s", sa.Double(), nullable=False),
)

REVISIONS = ("0001",)
"""The migrations, oldest first."""
REVISION = REVISIONS[-1]
"""A database at it needs none."""


class NewerTables(JournalUnavailable):
    """A database that a later version of the agent has changed."""


def upgrade(engine: sa.Engine) -> None:
    """Bring the database to the newest schema. Does nothing, quickly, where it is there already. Raises NewerTables."""
    with engine.connect() as connection:
        if sa.inspect(connection).has_table("alembic_version"):
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            if found == REVISION:
                return
            if found not in REVISIONS:
                raise NewerTables(
                    f"its tables are of version {found!r}, and this homeostat knows none after {REVISION!r}; "
                    "use the homeostat that wrote it"
                )
    # Alembic is slow to import and is needed once in a database's life.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
