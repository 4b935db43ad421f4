"""Webhooks that do not call us, and when that began and ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select

from bot.model import HookState, Webhook
from bot.store.audit import append
from bot.store.database import Database, clean
from bot.store.tables import silent_hooks

_WHAT = {
    HookState.CALLING: "hook.calling",
    HookState.FAILING: "hook.failing",
    HookState.PAUSED: "hook.paused",
    HookState.DISABLED: "hook.disabled",
}


class SqlWebhooks:
    """`Webhooks` on a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, forge: str, hooks: Sequence[Webhook], now: datetime) -> tuple[Webhook, ...]:
        table, there = silent_hooks, {clean(hook.id): hook for hook in hooks}
        known = select(table.c.hook, table.c.owner, table.c.state).where(table.c.forge == forge)
        with self._database.write() as connection:
            # Two who look at once would both find it changed.
            self._database.lock(connection, f"webhooks {forge}")
            before = {row.hook: row for row in connection.execute(known)}
            states = {id_: row.state for id_, row in before.items()}
            changed = {
                id_: hook
                for id_, hook in there.items()
                if hook.state.value != states.get(id_, HookState.CALLING.value)
            }
            gone = before.keys() - there.keys()
            for id_ in (*gone, *changed):
                connection.execute(table.delete().where(table.c.forge == forge, table.c.hook == id_))
            for id_, hook in changed.items():
                if hook.state is not HookState.CALLING:
                    row = {"owner": clean(hook.owner), "state": hook.state.value, "since": now}
                    connection.execute(table.insert().values(forge=forge, hook=id_, **row))
            entries = [("hook.gone", before[id_].owner, id_, "") for id_ in sorted(gone)]
            entries += [(_WHAT[hook.state], hook.owner, id_, hook.text) for id_, hook in changed.items()]
            for what, owner, id_, detail in entries:
                said = {"hook": id_, "before": states.get(id_, HookState.CALLING.value), "detail": detail}
                append(self._database, connection, "moorline", what, f"{forge} {owner}".rstrip(), said, now)
        return tuple(changed.values())

    def silent(self) -> Mapping[str, int]:
        query = select(silent_hooks.c.forge, func.count()).group_by(silent_hooks.c.forge)
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}
