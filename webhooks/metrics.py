"""Metrics in Prometheus' text format: counted here, or read from the store when asked.

Labels are closed sets: never a repository, a branch or anything else that a sender chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.errors import StoreError
from bot.store.base import Ending, ProposalState


class Remembered(Protocol):
    """The part of an inbox that metrics read."""

    def waiting(self) -> int:
        """Return how many branches wait."""

    def tallies(self) -> Mapping[str, int]:
        """Return how many runs ended, by ending."""


class Counted(Protocol):
    """The part of the proposals that metrics read."""

    def counts(self) -> Mapping[str, int]:
        """Return how many proposals there are, by state."""


class Chained(Protocol):
    """The part of the audit log that metrics read."""

    def head(self) -> tuple[int, str]:
        """Return number and hash of the last entry."""


class Silent(Protocol):
    """The part of the webhooks that metrics read."""

    def silent(self) -> Mapping[str, int]:
        """Return how many do not call us, by forge."""


FORGES = ("github", "gitlab")
"""Those that have webhooks of their own."""


class Metrics:
    """The application's metrics in a registry of its own."""

    def __init__(
        self,
        inbox: Remembered,
        proposals: Counted,
        registry: CollectorRegistry | None = None,
        audit: Chained | None = None,
        webhooks: Silent | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self.deliveries = Counter(
            "moorline_deliveries",
            "Webhook deliveries since this process began, by source and by what became of them.",
            ("source", "result"),
            registry=self.registry,
        )
        self.registry.register(_FromStore(inbox, proposals, audit, webhooks))


class _FromStore(Collector):
    def __init__(
        self, inbox: Remembered, proposals: Counted, audit: Chained | None, webhooks: Silent | None
    ) -> None:
        self._inbox = inbox
        self._proposals = proposals
        self._audit = audit
        self._webhooks = webhooks

    def describe(self) -> Iterator[Metric]:
        """Return nothing: registering must not ask the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("moorline_database_up", "Whether the database answered.")
        try:
            waiting, tallies = self._inbox.waiting(), self._inbox.tallies()
            states = self._proposals.counts()
            head = self._audit.head() if self._audit else None
            silent = self._webhooks.silent() if self._webhooks else None
        except StoreError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield GaugeMetricFamily(
            "moorline_wanted", "Refs, branches and requests alike, that wait to be looked at.", waiting
        )
        runs = CounterMetricFamily(
            "moorline_runs", "Runs of all processes that ended, by how.", labels=["ending"]
        )
        for ending in Ending:
            runs.add_metric([ending.value], tallies.get(ending.value, 0))
        yield runs
        shown = GaugeMetricFamily(
            "moorline_proposals", "Proposals that are remembered, by state.", labels=["state"]
        )
        for state in ProposalState:
            shown.add_metric([state.value], states.get(state.value, 0))
        yield shown
        if silent is not None:
            text = "Webhooks by which a forge did not call us when they were last looked at."
            hooks = GaugeMetricFamily("moorline_hooks_disabled", text, labels=["forge"])
            for forge in FORGES:
                hooks.add_metric([forge], silent.get(forge, 0))
            yield hooks
        if head is not None:
            entries = "Entries of the audit log."
            yield GaugeMetricFamily("moorline_audit_entries", entries, head[0])
            last = {"number": str(head[0]), "hash": head[1]}
            yield InfoMetricFamily("moorline_audit_head", "The audit log's last entry.", last)
