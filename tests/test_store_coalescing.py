"""Two wishes for one ref become one: pure, and by the inbox's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import databases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.model import Job, Trigger
from bot.store.base import Delivery, Ending, Priority, Retry, priority
from bot.store.coalescing import MOST_CHANGED, bounded, merged
from bot.store.sql import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PUSH = Job(
    forge="github",
    repository="acme/app",
    ref="main",
    trigger=Trigger.PUSH,
    head="b",
    before="a",
    changed=("Dockerfile",),
)
NEXT = replace(PUSH, head="c", before="b", changed=("README.md", "Dockerfile"))
SWEEP = Job(forge="github", repository="acme/app", ref="main", trigger=Trigger.SWEEP)


class TestMerged:
    def test_what_follows_adds_what_it_changed(self) -> None:
        assert merged(PUSH, NEXT) == replace(PUSH, head="c", changed=("Dockerfile", "README.md"))

    @pytest.mark.parametrize(
        "newer",
        [
            replace(NEXT, before="x"),  # something lies between, or the order was another one
            replace(NEXT, before=""),
            replace(NEXT, changed=None),
        ],
    )
    def test_else_nobody_knows_what_changed(self, newer: Job) -> None:
        assert merged(PUSH, newer) == replace(PUSH, head="c", changed=None)

    def test_one_push_that_two_hooks_tell_of_is_one(self) -> None:
        assert merged(PUSH, PUSH) == PUSH
        assert merged(PUSH, replace(PUSH, changed=("other",))).changed == ("Dockerfile", "other")

    def test_not_known_is_not_known_for_ever(self) -> None:
        unknown = replace(PUSH, changed=None)
        assert merged(unknown, NEXT).changed is None
        assert merged(merged(unknown, NEXT), replace(NEXT, before="c", head="d")).changed is None

    def test_what_leads_nowhere_known_says_nothing(self) -> None:
        both = merged(PUSH, replace(NEXT, head=""))
        assert (both.head, both.changed) == ("b", None)

    def test_two_that_know_no_commit_do_not_follow_one_another(self) -> None:
        waiting = replace(PUSH, head="", before="")
        assert merged(waiting, replace(NEXT, before="", head="")).changed is None

    def test_a_sweep_looks_at_everything_and_takes_nobody_s_place(self) -> None:
        both = merged(PUSH, SWEEP)
        assert both == replace(PUSH, changed=None)
        assert merged(SWEEP, PUSH) == replace(PUSH, before="", changed=None)

    @pytest.mark.parametrize("calm", [Trigger.SWEEP, Trigger.CATCH_UP, Trigger.REGISTRY])
    @pytest.mark.parametrize("urgent", [one for one in Trigger if priority(one) < Priority.SWEEP])
    def test_the_more_urgent_trigger_stays(self, calm: Trigger, urgent: Trigger) -> None:
        assert merged(replace(PUSH, trigger=urgent), replace(SWEEP, trigger=calm)).trigger is urgent
        assert merged(replace(SWEEP, trigger=calm), replace(PUSH, trigger=urgent)).trigger is urgent

    def test_trigger_and_number_are_the_newer_one_s(self) -> None:
        opened = replace(PUSH, trigger=Trigger.PULL_REQUEST, number=7)
        assert merged(PUSH, opened).trigger is Trigger.PULL_REQUEST
        assert merged(opened, replace(opened, number=0)).number == 7

    def test_no_more_paths_than_are_worth_keeping(self) -> None:
        many = tuple(f"{number}" for number in range(MOST_CHANGED))
        assert merged(replace(PUSH, changed=many), replace(NEXT, changed=("5",))).changed == many
        assert merged(replace(PUSH, changed=many), replace(NEXT, changed=("x",))).changed is None
        assert bounded(replace(PUSH, changed=("x" * 60_000, "y" * 60_000))).changed is None

    @given(
        st.lists(
            st.tuples(
                st.sampled_from("abcd"), st.sampled_from("abcd"), st.none() | st.sets(st.sampled_from("xyz"))
            ),
            min_size=1,
        )
    )
    def test_what_is_claimed_to_have_changed_is_all_of_it(
        self, pushes: list[tuple[str, str, set[str] | None]]
    ) -> None:
        jobs = [
            replace(PUSH, before=before, head=head, changed=None if paths is None else tuple(paths))
            for before, head, paths in pushes
        ]
        waiting = jobs[0]
        for job in jobs[1:]:
            waiting = merged(waiting, job)
        assert waiting.head == jobs[-1].head
        if waiting.changed is not None:
            assert all(job.changed is not None for job in jobs)
            for one, two in pairwise(jobs):
                # The next one follows, or says once more what all of them so far came to.
                assert one.head == two.before or (jobs[0].before, one.head) == (two.before, two.head)
            assert set(waiting.changed) == {path for job in jobs for path in job.changed or ()}
            assert waiting.before == jobs[0].before


@pytest.fixture(params=databases.BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with Store(databases.url(request.param, tmp_path)) as opened:
        yield opened


class TestRows:
    def test_what_waits_is_merged_and_what_runs_is_not(self, store: Store) -> None:
        store.inbox.receive(Delivery(source="github", id="1", jobs=(PUSH,)), NOW)
        store.inbox.receive(Delivery(source="github", id="2", jobs=(NEXT,)), NOW)
        (claim,) = store.backlog.claim("w", 1, NOW)
        assert claim.job == merged(PUSH, NEXT)
        last = replace(NEXT, before="c", head="d")
        store.inbox.receive(Delivery(source="github", id="3", jobs=(last,)), NOW)
        store.backlog.settle(claim.run, Ending.NOTHING, "", NOW)
        (claim,) = store.backlog.claim("w", 1, NOW)
        assert claim.job == last

    def test_wanting_goes_the_same_way_without_a_delivery(self, store: Store) -> None:
        store.inbox.want((PUSH,), NOW)
        store.inbox.want((SWEEP, replace(SWEEP, repository="acme/other")), NOW)
        first, second = store.backlog.claim("w", 5, NOW)
        assert (first.job, first.priority) == (replace(PUSH, changed=None), Priority.PUSH)
        assert (second.job.repository, second.priority) == ("acme/other", Priority.SWEEP)

    def test_one_delivery_may_want_several(self, store: Store) -> None:
        jobs = tuple(replace(PUSH, repository=f"acme/{number}") for number in range(30))
        store.inbox.receive(Delivery(source="github", id="1", jobs=jobs, event="installation.created"), NOW)
        store.inbox.receive(Delivery(source="github", id="2", jobs=(), event="ping"), NOW)
        assert store.inbox.waiting() == 30

    def test_merge_queue_heads_are_never_coalesced(self, store: Store) -> None:
        """Each has a ref of its own, so that each is answered."""
        heads = [f"{number}" * 40 for number in range(1, 4)]
        for head in heads:
            job = Job(
                forge="github",
                repository="acme/app",
                ref=f"gh-readonly-queue/main/pr-7-{head}",
                trigger=Trigger.MERGE_QUEUE,
                head=head,
            )
            store.inbox.receive(Delivery(source="github", id=head, jobs=(job,)), NOW)
        seen = []
        while claims := store.backlog.claim("w", 5, NOW):
            (claim,) = claims  # one after the other, even so: a repository's jobs never overlap
            seen.append(claim.job.head)
            store.backlog.settle(claim.run, Ending.NOTHING, "", NOW)
        assert sorted(seen) == heads

    def test_a_merge_queue_goes_before_pushes_and_those_before_sweeps(self, store: Store) -> None:
        for number, trigger in enumerate((Trigger.SWEEP, Trigger.PUSH, Trigger.MERGE_QUEUE)):
            job = Job(forge="github", repository=f"acme/{number}", ref="x", trigger=trigger)
            store.inbox.want((job,), NOW + timedelta(seconds=number))
        claims = store.backlog.claim("w", 5, NOW + timedelta(minutes=1))
        assert [claim.job.trigger for claim in claims] == [Trigger.MERGE_QUEUE, Trigger.PUSH, Trigger.SWEEP]

    def test_hints_that_no_column_holds_are_dropped(self, store: Store) -> None:
        hostile = replace(
            PUSH, number=10**12, ref="a\0b\ud800", head="x" * 100, before="y" * 100, changed=("\ud800\0",)
        )
        store.inbox.receive(Delivery(source="github", id="1", jobs=(hostile,), event="e\0" * 500), NOW)
        (claim,) = store.backlog.claim("w", 1, NOW)
        assert (claim.job.head, claim.job.before, claim.job.number) == ("", "", 0)
        assert claim.job.changed == ("\ud800\0",)
        assert "\0" not in claim.job.ref

    def test_a_postponed_run_keeps_what_it_was_told(self, store: Store) -> None:
        store.inbox.want((PUSH,), NOW)
        (claim,) = store.backlog.claim("w", 1, NOW)
        store.backlog.settle(claim.run, Ending.POSTPONED, "", NOW, retry=Retry(due=NOW, named=False))
        assert store.backlog.claim("w", 1, NOW)[0].job == PUSH
