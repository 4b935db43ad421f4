"""Schema 1: deliveries, what is wanted, runs, proposals, sightings, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the first version."""
    version = op.create_table("moorline_schema", sa.Column("version", sa.Integer, primary_key=True))
    op.bulk_insert(version, [{"version": 1}])
    _queue()
    _proposals()
    op.create_table(
        "sightings",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_index("sightings_by_reference", "sightings", ["scope", "reference", "number"])
    op.create_table(
        "worker_leases",
        sa.Column("worker", sa.String(200), primary_key=True),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("seen", sa.Float(53), nullable=False),
    )


def _queue() -> None:
    op.create_table(
        "deliveries",
        sa.Column("source", sa.String(32), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
    )
    op.create_index("deliveries_by_time", "deliveries", ["received"])
    op.create_table(
        "wanted",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("trigger", sa.String(32), nullable=False),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("waits", sa.Integer, nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
        sa.Column("claim", sa.String(64)),
        sa.Column("claimed", sa.BigInteger),
        sa.Column("worker", sa.String(200)),
    )
    op.create_index("wanted_by_urgency", "wanted", ["claim", "priority", "since"])
    op.create_index("wanted_by_claim", "wanted", ["claim"], unique=True)
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("trigger", sa.String(32), nullable=False),
        sa.Column("ending", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("ended", sa.BigInteger, nullable=False),
    )
    op.create_index("runs_by_time", "runs", ["ended"])
    op.create_table(
        "tallies",
        sa.Column("ending", sa.String(32), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )


def _proposals() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("group", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("commit", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("edits", sa.Text, nullable=False),
        sa.Column("diff", sa.Text, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
    )
    op.create_index("proposals_by_place", "proposals", ["forge", "repository", "base", "group", "state"])
    op.create_index("proposals_by_change", "proposals", ["changed"])
    published = sa.text("state = 'published'")
    op.create_index(
        "proposals_one_published",
        "proposals",
        ["forge", "repository", "base", "group"],
        unique=True,
        sqlite_where=published,
        postgresql_where=published,
    )
    op.create_table(
        "proposal_commits",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("proposal", sa.String(64), nullable=False),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("commit", sa.String(64), nullable=False),
        sa.Column("stored", sa.BigInteger, nullable=False),
    )
    op.create_index("commits_by_proposal", "proposal_commits", ["proposal", "commit"], unique=True)
    op.create_index("commits_by_branch", "proposal_commits", ["forge", "repository", "branch"])
