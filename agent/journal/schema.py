"""The journal's tables, and bringing a database to them."""

from contextlib import suppress
from pathlib import Path
from threading import Lock

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

stamped = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""As Alembic makes it."""
REVISIONS = ("0001",)
"""The migrations, oldest first."""
REVISION = REVISIONS[-1]
"""A database at it needs none."""
NAMED = 5
"""So many tables of somebody else's database are named."""
_alembic = Lock()
"""Alembic keeps what it works on in globals."""


class _NotForUs(JournalUnavailable):
    """`reason` says why; `name` is the place, where it is known."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason


class NewerTables(_NotForUs):
    """A database that a later version of the agent has changed."""


class NoJournal(_NotForUs):
    """What is at a place is no journal, and was left as it is."""


class NothingThere(NoJournal):
    """Nothing at all is at a place, where a journal may be made."""


def upgrade(engine: sa.Engine) -> None:
    """Bring the database to the newest schema. Does nothing, quickly, where it is there already. Raises NewerTables."""
    with engine.connect() as connection, suppress(NoJournal):
        if revision(connection) == REVISION:
            return
    if engine.dialect.name == "sqlite" and _made(engine):
        return
    # Alembic is slow to import and is needed once in a database's life.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with _alembic, engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _made(engine: sa.Engine) -> bool:
    """Whether the newest tables were made in an empty file: at once, and without Alembic, which others in the process may be using."""
    with engine.begin() as connection:  # with the write lock: somebody else may just have made them
        try:
            return revision(connection) == REVISION
        except NothingThere:
            stamped.create(connection)
            connection.execute(sa.insert(stamped).values(version_num=REVISION))
            metadata.create_all(connection)
    return True


def revision(connection: sa.Connection) -> str:
    """The revision of the journal's tables in a database, which is not changed. Raises NothingThere, NoJournal, NewerTables."""
    tables = set(sa.inspect(connection).get_table_names())
    if not tables:
        raise NothingThere("it is empty: no agent has made a journal of it yet")
    lacking = metadata.tables.keys() - tables
    if lacking or "alembic_version" not in tables:
        named = ", ".join(sorted(tables)[:NAMED])
        raise NoJournal(f"it is a database of something else, with the tables {named}; expected a journal of homeostat")
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found not in REVISIONS:
        raise NewerTables(
            f"its tables are of version {found!r}, and this homeostat knows none after {REVISION!r}; "
            "use the homeostat that wrote it"
        )
    return str(found)
