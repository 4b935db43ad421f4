"""What the service asks of a forge: the table of `make bench`, held to its bounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import costs
import pytest
from commands import ROOT

FORGES = sorted(costs.BOUNDS)


@pytest.fixture(params=FORGES)
def party(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[costs.Party]:
    with costs.party(request.param, tmp_path) as made:
        yield made


def test_what_people_do_costs_no_more_than_it_may(party: costs.Party) -> None:
    table = {one.act: one for one in costs.acts(party)}
    assert set(table) == {costs.FRESH, *costs.BOUNDS[party.forge]}
    for one in table.values():
        assert one.most is None or one.counted <= one.most, costs.show([one])
        # Whoever reads the table sees what each request is for.
        assert [each.name for each in one.asked if not each.why] == []
    for act in (costs.NOTHING, costs.MEANWHILE, costs.ELSEWHERE):
        assert len(table[act].asked) == costs.BOUNDS[party.forge][act]
    # `make figures` writes it there.
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    shown = costs.show(list(table.values())).splitlines()
    assert [line for line in shown if line not in operations] == []
    # They were counted at all: nothing is pinned without reading, writing and a request.
    assert table[costs.FIRST].counted > 4


def test_a_sweep_of_what_did_not_change_costs_its_listing_and_little_else(party: costs.Party) -> None:
    """Fifty repositories here, a thousand in `make bench`."""
    listing, rest = costs.swept(party, 50)
    assert 1 <= listing.counted <= 2, costs.show([listing])
    assert rest.most == 1
    assert rest.counted <= rest.most, costs.show([rest])
    assert [one.name for one in rest.asked if not one.why] == []
