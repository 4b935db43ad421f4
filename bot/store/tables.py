"""The tables, in the part of SQL that SQLite and Postgres share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    event,
    false,
    text,
)

from bot.store.append_only import APPEND_ONLY

SCHEMA_VERSION = 3
STAMP = "alembic_version"
"""Alembic's own table: which revision the schema is at."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(value: datetime) -> int:
    """Return an aware time as whole microseconds since 1970."""
    return (value - _EPOCH) // _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware time as microseconds since 1970: SQLite has no time zones, and integers sort."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        del dialect
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else _EPOCH + value * _MICROSECOND


metadata = MetaData()

schema = Table(
    "moorline_schema",
    metadata,
    Column("version", Integer, primary_key=True),
)

# Alembic makes it where it runs; a fresh database is stamped without it.
stamp = Table(
    STAMP,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("source", String(32), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("received", Instant, nullable=False),
    Column("event", Text, nullable=False, server_default=text("''")),
    Index("deliveries_by_time", "received"),
)

wanted = Table(
    "wanted",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("trigger", String(32), nullable=False),
    Column("head", String(64), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("since", Instant, nullable=False),  # when the oldest of what waits here arrived
    Column("due", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("waits", Integer, nullable=False),
    Column("run", String(64), nullable=False),  # the id that the next run will have
    Column("claim", String(64)),  # the id of the run that goes on now
    Column("claimed", Instant),
    Column("worker", String(200)),
    Column("before", String(64), nullable=False, server_default=text("''")),
    Column("changed", Text),  # the paths as JSON, null where they are not known
    Column("number", Integer, nullable=False, server_default="0"),
    Column("identity", String(64), nullable=False, server_default=text("''")),
    Column("default_branch", Text, nullable=False, server_default=text("''")),
    Column("cancelled", Boolean, nullable=False, server_default=false()),  # said of the run that goes on
    Index("wanted_by_urgency", "claim", "priority", "since"),
    Index("wanted_by_claim", "claim", unique=True),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("trigger", String(32), nullable=False),
    Column("ending", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("ended", Instant, nullable=False),
    Column("head", String(64), nullable=False, server_default=text("''")),
    Column("number", Integer, nullable=False, server_default="0"),
    Index("runs_by_time", "ended"),
    Index("runs_by_ref", "forge", "repository", "ref", "ended"),
)

tallies = Table(
    "tallies",
    metadata,
    Column("ending", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

proposals = Table(
    "proposals",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("commit", String(64), nullable=False),  # the base commit it was made from
    Column("digest", String(128), nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("edits", Text, nullable=False),
    Column("diff", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("url", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("made", Instant, nullable=False),
    Column("changed", Instant, nullable=False),
    Column("number", Integer, nullable=False, server_default="0"),  # of its request
    Column("pins", Text, nullable=False, server_default="[]"),
    Column("looks", Text, nullable=False, server_default="{}"),
    Column("closing", Boolean, nullable=False, server_default=false()),  # we close its request, or did
    Index("proposals_by_place", "forge", "repository", "base", "group", "state"),
    Index("proposals_by_number", "forge", "repository", "number"),
    Index("proposals_by_state", "state", "changed"),
    Index("proposals_by_change", "changed"),
)
# Not two published ones for one place, whatever two workers do.
Index(
    "proposals_one_published",
    proposals.c.forge,
    proposals.c.repository,
    proposals.c.base,
    proposals.c.group,
    unique=True,
    sqlite_where=text("state = 'published'"),
    postgresql_where=text("state = 'published'"),
)

commits = Table(
    "proposal_commits",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("proposal", String(64), nullable=False),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("stored", Instant, nullable=False),
    Index("commits_by_proposal", "proposal", "commit", unique=True),
    Index("commits_by_branch", "forge", "repository", "branch"),
)

RESERVED = "~"

# Requests that were opened: what a day may bring an owner is counted by them.
openings = Table(
    "proposal_openings",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    # The request's number, else the proposal's id; what begins with RESERVED is not opened yet.
    Column("key", String(64), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("opened", Instant, nullable=False),
    Column("first", Boolean, nullable=False),
    Index("openings_by_owner", "forge", "owner", "opened"),
)

checks = Table(
    "checks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("said", Text, nullable=False),  # JSON
    Column("made", Instant, nullable=False),
    Index("checks_by_time", "made"),
    Index("checks_by_commit", "commit"),
)

# What each request, or merge queue, was told of a commit: they share the one check that it has.
judgements = Table(
    "judgements",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("commit", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # of the request; 0 for a queue
    Column("base", Text, nullable=False),
    Column("said", Text, nullable=False),  # JSON
    Column("stands", Boolean, nullable=False),  # the request is open, and that is its head
    Column("at", Instant, nullable=False),
    Index("judgements_by_request", "forge", "repository", "number"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("number", Integer, nullable=False),  # of the request
    Column("state", String(32), nullable=False),
    Column("review", Text, nullable=False),  # JSON
    Column("spoken", Text, nullable=False),  # what of it and of those before stands, as JSON
    Column("made", Instant, nullable=False),
    Index("reviews_by_request", "forge", "repository", "number"),
    Index("reviews_by_time", "made"),
)

# What people declined: kept for good, and by nothing that changes with a digest.
declined = Table(
    "declined",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("proposal", String(64), nullable=False),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("where", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Index("declined_by_base", "forge", "repository", "base"),
    Index("declined_by_proposal", "proposal"),
)

repositories = Table(
    "repositories",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("id", String(64), nullable=False),  # the forge's own; empty where it has none
    Column("default_branch", Text, nullable=False),
    Column("head", String(64), nullable=False),
    Column("archived", Boolean, nullable=False),
    Column("fork", Boolean, nullable=False),
    Column("private", Boolean, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("seen", Instant, nullable=False),
)
Index(
    "repositories_by_id",
    repositories.c.forge,
    repositories.c.id,
    unique=True,
    sqlite_where=text("id <> ''"),
    postgresql_where=text("id <> ''"),
)

scans = Table(
    "scans",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("head", String(64), nullable=False),
    Column("rules", String(128), nullable=False),
    Column("paths", Text, nullable=False),  # JSON
    Column("refs", Text, nullable=False),  # JSON
    Column("held", Integer, nullable=False),
    Column("at", Instant, nullable=False),
)

referenced = Table(
    "repository_references",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", String(128), nullable=False),
    Column("pinned", Boolean, nullable=False),
    Index("references_by_scan", "forge", "repository", "ref"),
    Index("references_by_name", "name", "version"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", String(32), nullable=False),
    Column("reference", Text, nullable=False),
    Column("digest", String(128)),
    Column("until", Instant),
    Column("because", Text, nullable=False),
    Column("made", Instant, nullable=False),
    Column("checks", Text),  # names with blanks between; of an exception that has none nothing is excused
    Column("stood", Boolean),  # the default branch was seen to carry it on
    Index("decisions_by_repository", "forge", "repository"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("login", Text, nullable=False),
)

audit = Table(
    "audit_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # canonical JSON
    Column("hash", String(64), nullable=False),
)


@event.listens_for(audit, "after_create")
def _append_only(_table: Table, connection: Connection, **_: Any) -> None:
    for statement in APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)


sweeps = Table(
    "sweeps",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("forge", String(32), nullable=False),
    Column("trigger", String(32), nullable=False),
    Column("owners", Text, nullable=False),  # JSON
    Column("globs", Text, nullable=False),  # JSON
    Column("who", Text, nullable=False),
    Column("started", Instant, nullable=False),
    Column("listed", Instant),
    Index("sweeps_by_time", "started"),
)

places = Table(
    "sweep_places",
    metadata,
    Column("sweep", String(64), primary_key=True),
    Column("repository", Text, primary_key=True),  # empty for the listing
    Column("ref", Text, primary_key=True),
    Column("forge", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("look", String(32), nullable=False),  # what the last run said of it before it ended
    Column("held", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Index("places_by_branch", "forge", "repository", "ref"),
)

# When scheduled sweeps last might propose for a branch.
turns = Table(
    "schedule_turns",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("first", Instant),
    Column("refresh", Instant),
    Column("first_waits", Boolean, nullable=False),
    Column("refresh_waits", Boolean, nullable=False),
    Column("schedules", Text, nullable=False),  # JSON
)

# When something of a name was last done by the clock.
ticks = Table(
    "schedule_ticks",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("at", Instant, nullable=False),
)

# Comments that were dealt with: each runs once.
heard = Table(
    "comments_heard",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("ref", String(64), primary_key=True),
    Column("answer", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Index("heard_by_time", "at"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("forge", String(32), nullable=False),
    Column("repository", Text, nullable=False),
    Column("ref", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("asker", Text, nullable=False),
    Column("asker_id", String(64), nullable=False),
    Column("url", Text, nullable=False),
    Column("reaction", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("closes", String(64), nullable=False),
    Column("made", Instant, nullable=False),
    Column("begun", Instant),
    Column("ended", Instant),
    Index("answers_by_repository", "forge", "repository", "begun"),
    Index("answers_by_time", "made"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("by", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
)

# When people last said something of a topic, so that an older word which is heard later does not count.
words = Table(
    "last_words",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("said", Instant, nullable=False),  # by the forge's clock
    Index("words_by_time", "said"),
)

overrides = Table(
    "overrides",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("commit", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # of the request
    Column("base", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("because", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

# Our one comment of a topic on a request.
stickies = Table(
    "stickies",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("topic", String(32), primary_key=True),
    Column("comment", String(64), nullable=False),
    Column("at", Instant, nullable=False),
)

# What the last look at a branch or request found, for people who ask.
looks = Table(
    "last_looks",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("repository", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("commit", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("said", Text, nullable=False),  # JSON
)

sightings = Table(
    "sightings",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("scope", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("digest", String(128), nullable=False),
    Column("first", Instant, nullable=False),
    Column("last", Instant, nullable=False),
    Index("sightings_by_reference", "scope", "reference", "number"),
)

# Webhooks by which a forge did not call us when they were last looked at.
silent_hooks = Table(
    "silent_hooks",
    metadata,
    Column("forge", String(32), primary_key=True),
    Column("hook", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("state", String(32), nullable=False),
    Column("since", Instant, nullable=False),
)

leases = Table(
    "worker_leases",
    metadata,
    Column("worker", String(200), primary_key=True),
    Column("version", String(64), nullable=False),
    Column("seen", Float(53), nullable=False),
)
