"""Brings a database to the schema of this version, in a process of its own: `python -m bot.store.migrate`.

Its address is read from standard input, since arguments are there for everyone to see.  The service
starts this where it finds an older schema, and never imports Alembic itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect

from bot.errors import MoorlineError
from bot.store import migrations
from bot.store.database import found_schema, hold_schema, make_engine
from bot.store.tables import SCHEMA_VERSION, STAMP

_PATIENCE = 60.0
"""Seconds to wait for whoever uses a SQLite file meanwhile."""


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, within the connection's transaction."""
    config = Config()
    folder = str(Path(migrations.__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    if found_schema(connection) is not None and not inspect(connection).has_table(STAMP):
        command.stamp(config, "1")  # the first version kept no such table
    command.upgrade(config, revision)


def main() -> int:
    """Upgrade the database whose URL stands on standard input; return the exit code."""
    try:
        engine = make_engine(sys.stdin.read(), patience=_PATIENCE)
        with engine.begin() as connection:
            # Whoever comes second finds the work done.
            hold_schema(connection)
            if (found_schema(connection) or 0) < SCHEMA_VERSION:
                upgrade(connection)
        engine.dispose()
    except MoorlineError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    except Exception as error:  # noqa: BLE001 - an edge; of the text nobody knows what it holds
        print(type(error).__name__, file=sys.stderr)  # noqa: T201 - the same
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
