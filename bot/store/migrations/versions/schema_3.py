"""Schema 3: conversations, and webhooks that do not call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "3"
down_revision = "2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what people say, what came of it, and what is remembered so that they can ask."""
    op.create_table(
        "comments_heard",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("ref", sa.String(64), primary_key=True),
        sa.Column("answer", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("heard_by_time", "comments_heard", ["at"])
    op.create_table(
        "answers",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("ref", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("asker", sa.Text, nullable=False),
        sa.Column("asker_id", sa.String(64), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("reaction", sa.String(32), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("closes", sa.String(64), nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("begun", sa.BigInteger),
        sa.Column("ended", sa.BigInteger),
    )
    op.create_index("answers_by_repository", "answers", ["forge", "repository", "begun"])
    op.create_index("answers_by_time", "answers", ["made"])
    op.create_table(
        "pauses",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger),
    )
    op.create_table(
        "last_words",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("said", sa.BigInteger, nullable=False),
    )
    op.create_index("words_by_time", "last_words", ["said"])
    op.create_table(
        "overrides",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("commit", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("because", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "last_looks",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("commit", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("forge", sa.String(32), nullable=False),
        sa.Column("repository", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("review", sa.Text, nullable=False),
        sa.Column("spoken", sa.Text, nullable=False),
        sa.Column("made", sa.BigInteger, nullable=False),
    )
    op.create_index("reviews_by_request", "reviews", ["forge", "repository", "number"])
    op.create_index("reviews_by_time", "reviews", ["made"])
    op.create_table(
        "stickies",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic", sa.String(32), primary_key=True),
        sa.Column("comment", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("checks_by_commit", "checks", ["commit"])
    op.create_table(
        "judgements",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("repository", sa.Text, primary_key=True),
        sa.Column("commit", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("stands", sa.Boolean, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("judgements_by_request", "judgements", ["forge", "repository", "number"])
    op.add_column("wanted", sa.Column("default_branch", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "silent_hooks",
        sa.Column("forge", sa.String(32), primary_key=True),
        sa.Column("hook", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.add_column("decisions", sa.Column("checks", sa.Text))
    op.add_column("decisions", sa.Column("stood", sa.Boolean))
    op.execute("UPDATE moorline_schema SET version = 3")
