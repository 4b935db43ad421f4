"""Schema 2: what changed, requests and what was declined, repositories, decisions, the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"
branch_labels = None
depends_on = None

_AUDIT = {
    "sqlite": (
        """
        CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
        """
        CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
        """
        CREATE TRIGGER audit_log_in_order BEFORE INSERT ON audit_log
        WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM audit_log)
        BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
        """,
    ),
    "postgresql": (
        """
        CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
        """,
        """
        CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()
        """,
        """
        CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
        FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()
        """,
    ),
}


def upgrade() -> None:
    """Add what the forges need; what a delivery was about is left out, since it may be several things."""
    for name in ("forge", "repository", "ref", "head"):
        op.drop_column("deliveries", name)
    op.add_column("deliveries", sa.Column("event", sa.Text, nullable=False, server_default=""))
    op.add_column("wanted", sa.Column("before", sa.String(64), nullable=False, server_default=""))
    op.add_column("wanted", sa.Column("changed", sa.Text))
    op.add_column("wanted", sa.Column("number", sa.Integer, nullable=False, server_default="0"))
    op.add_column("wanted", sa.Column("identity", sa.String(64), nullable=False, server_default=""))
    op.add_column("wanted", sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("head", sa.String(64), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("number", sa.Integer, nullable=False, server_default="0"))
    op.create_index("runs_by_ref", "runs", ["forge", "repository", "ref", "ended"])
    op.add_column("proposals", sa.Column("number", sa.Integer, nullable=False, server_default="0"))
    op.add_column("proposals", sa.Column("pins", sa.Text, nullable=False, server_default="[]"))
    op.add_column("proposals", sa.Column("looks", sa.Text, nullable=False, server_default="{}"))
    op.add_column("proposals", sa.Column("closing", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_index("proposals_by_number", "proposals", ["forge", "repository", "number"])
    op.create_index("proposals_by_state", "proposals", ["state", "changed"])
    _fate()
    _repositories()
    _people()
    _sweeps()
    op.execute("UPDATE moorline_schema SET version = 2")


def _fate() -> None:
    op.create_table(
        "proposal_openings",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("opened", sa.BigInteger, nullable=False),
        sa.Column("first", sa.Boolean, nullable=False),
    )
    op.create_index("openings_by_owner", "proposal_openings", ["forge", "owner", "opened"])
    op.create_table(
        "declined",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("proposal", sa.String(64), nullable=False),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("where", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("declined_by_base", "declined", ["forge", "repository", "base"])
    op.create_index("declined_by_proposal", "declined", ["proposal"])


def _repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("default_branch", sa.Text, nullable=False),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.Column("fork", sa.Boolean, nullable=False),
        sa.Column("private", sa.Boolean, nullable=False),
        sa.Column("gone", sa.Boolean, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
    )
    known = sa.text("id <> ''")
    op.create_index(
        "repositories_by_id",
        "repositories",
        ["forge", "id"],
        unique=True,
        sqlite_where=known,
        postgresql_where=known,
    )
    op.create_table(
        "scans",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("rules", sa.String(128), nullable=False),
        sa.Column("paths", sa.Text, nullable=False),
        sa.Column("refs", sa.Text, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "repository_references",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
    )
    op.create_index("references_by_scan", "repository_references", ["forge", "repository", "ref"])
    op.create_index("references_by_name", "repository_references", ["name", "version"])


def _people() -> None:
    op.create_table(
        "checks",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("commit", sa.String(64), nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
    )
    op.create_index("checks_by_time", "checks", ["made"])
    op.create_table(
        "decisions",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("digest", sa.String(128)),
        sa.Column("until", sa.BigInteger),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
    )
    op.create_index("decisions_by_repository", "decisions", ["forge", "repository"])
    op.create_table(
        "accounts",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("login", sa.Text, nullable=False),
    )
    op.create_table(
        "audit_log",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    for statement in _AUDIT[op.get_bind().dialect.name]:
        op.execute(sa.text(statement))


def _sweeps() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("trigger", sa.String(32), nullable=False),
        sa.Column("owners", sa.Text, nullable=False),
        sa.Column("globs", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("listed", sa.BigInteger),
    )
    op.create_index("sweeps_by_time", "sweeps", ["started"])
    op.create_table(
        "sweep_places",
        sa.Column("sweep", sa.String(64), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("look", sa.String(32), nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("places_by_branch", "sweep_places", ["forge", "repository", "ref"])
    op.create_table(
        "schedule_turns",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("first", sa.BigInteger),
        sa.Column("refresh", sa.BigInteger),
        sa.Column("first_waits", sa.Boolean, nullable=False),
        sa.Column("refresh_waits", sa.Boolean, nullable=False),
        sa.Column("schedules", sa.Text, nullable=False),
    )
    op.create_table(
        "schedule_ticks",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
