"""Commands in reviews through the whole service: in their summaries, and on the lines that they comment on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from github_world import Review
from scenario_places import GitHubPlace
from scenarios import Repo, Rig, Scene, rig, scene

from bot.model import Job, Trigger
from bot.store.base import Entry

ROLES = {"rae": "read", "wes": "write", "mia": "maintain", "ada": "admin"}
SEEN, DONE, REFUSED = "eyes", "+1", "-1"


@pytest.fixture(scope="module", params=["github", "github-enterprise"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def talk(running: Rig) -> Iterator[Talk]:
    with scene(running) as made:
        yield Talk.begun(made)


@dataclass
class Talk:
    """A person's request that brings in a floating image, and people of every role who review it."""

    scene: Scene
    place: GitHubPlace
    app: Repo
    number: int

    @classmethod
    def begun(cls, made: Scene) -> Talk:
        place, app = made.place, made.repository({"README": b"x\n"})
        assert isinstance(place, GitHubPlace)
        place.hub[app.name].roles.update(ROLES)
        app.push({"Dockerfile": f"FROM {made.image()} AS a\n".encode()}, "topic", start="main")
        number = place.request(app.name, "topic")
        made.rig.tell()
        place.hub[app.name].reviews.clear()
        place.hub[app.name].review_comments.clear()
        return cls(made, place, app, number)

    @property
    def login(self) -> str:
        return self.place.hub.bot.removesuffix("[bot]")

    def review(self, text: str, by: str = "wes", state: str = "COMMENTED") -> Review:
        """Submit a review, of which nobody is told yet."""
        said = text.replace("@moorline", f"@{self.login}")
        return self.place.hub.review(self.app.name, self.number, said, by=by, state=state)

    def answers(self) -> list[str]:
        return self.place.comments(self.app.name, self.number)

    def heard(self) -> list[Entry]:
        """Return what the audit log says of commands here."""
        return [
            one
            for one in self.scene.store.audit.entries(0, 10_000)
            if one.what.startswith("command.") and self.app.name in one.subject
        ]

    def is_silent(self, review: Review) -> bool:
        """Return whether nothing at all became of a review."""
        paused = self.scene.store.conversations.pause("github", self.app.name, datetime.now(UTC))
        return (review.reactions, self.answers(), self.heard(), paused) == ([], [], [], None)


def test_a_summary_is_answered_once(talk: Talk) -> None:
    text = "Nearly there, see below.\n\n@moorline help\n\nThanks!"
    review = talk.review(text, state="CHANGES_REQUESTED")
    asked = talk.app.cost(talk.scene.rig.tell)
    assert [kind for _, kind in review.reactions] == [SEEN, DONE]
    [answer] = talk.answers()
    assert answer.startswith("@wes\n\n")
    assert "A command stands alone on a line" in answer
    [entry] = talk.heard()
    assert (entry.who, entry.what) == ("github:wes", "command.help")
    assert entry.evidence["comment"] == f"comment/summary/{review.id}"
    assert [one for one in asked if "/repos/" in one or "graphql" in one] == [
        "GET /repos/{owner}/{repo}/pulls/{pull_number}/reviews/{review_id}",
        "POST /graphql",  # whether it was edited
        "GET /repos/{owner}/{repo}/collaborators/{username}/permission",
        "POST /graphql",  # a reaction
        "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
        "POST /graphql",  # another one
    ]
    # The same delivery again, and another one of the same review.
    [told] = [
        one for one in talk.place.hub.world.deliveries if one.payload.get("review", {}).get("id") == review.id
    ]
    again = talk.place.hub.payload(
        "pull_request_review",
        "submitted",
        repository=talk.app.name,
        pull=talk.place.hub[talk.app.name].pulls[talk.number],
        review=review,
    )
    for headers, body in ((told.headers, told.body), again):
        assert talk.scene.rig.receive("/webhooks/github", headers, body) in (200, 202)
        talk.scene.rig.tell()
    assert (len(review.reactions), len(talk.answers()), len(talk.heard())) == (2, 1, 1)


def test_a_summary_acts_by_its_authors_role(talk: Talk) -> None:
    review = talk.review("/moorline pause", by="rae")
    talk.scene.rig.tell()
    assert [kind for _, kind in review.reactions] == [SEEN, REFUSED]
    [answer] = talk.answers()
    assert "`pause` needs the role `write` in this repository, and yours is `read`." in answer
    [entry] = talk.heard()
    assert entry.evidence["effect"] == "refused"
    assert talk.scene.store.conversations.pause("github", talk.app.name, datetime.now(UTC)) is None


def test_an_edited_summary_is_not_acted_on(talk: Talk) -> None:
    made = [talk.review(text) for text in ("Well.", "@moorline status", "@moorline status")]
    talk.place.hub.world.clock.advance(2)
    for one, by in zip(made, ("wes", "wes", "ada"), strict=True):
        talk.place.hub.edit_review(talk.app.name, one.id, f"@{talk.login} pause", by=by)
    talk.scene.rig.tell()
    assert all(map(talk.is_silent, made))


def test_a_dismissed_summary_is_not_acted_on(talk: Talk) -> None:
    review = talk.review("@moorline pause", state="APPROVED")
    talk.place.hub.dismiss_review(talk.app.name, review.id, by="ada")
    talk.scene.rig.tell()
    assert talk.is_silent(review)


def test_ours_and_other_programs_reviews_start_nothing(talk: Talk) -> None:
    talk.place.hub.account("helper[bot]", "Bot")

    def say() -> None:
        made = [talk.review("@moorline pause", by=one) for one in (talk.place.hub.bot, "helper[bot]")]
        talk.scene.rig.tell()
        assert all(map(talk.is_silent, made))

    assert talk.app.cost(say) == []


def test_an_ordinary_review_costs_nothing(talk: Talk) -> None:
    def say() -> None:
        for text in ("", "Looks good to me.", f"What does @ada say of {talk.login}?"):
            assert talk.is_silent(talk.review(text, by="rae", state="APPROVED"))
        talk.scene.rig.tell()

    runs = len(talk.app.runs())
    assert talk.app.cost(say) == []
    assert len(talk.app.runs()) == runs


def test_what_nobody_was_told_of_is_caught_up_with(talk: Talk) -> None:
    review = talk.review("@moorline status")
    gone = talk.review("@moorline pause", state="APPROVED")
    talk.place.hub.dismiss_review(talk.app.name, gone.id, by="ada")
    talk.place.hub.deliver(None)
    catch_up = Job(forge="github", repository="", ref="catch-up", trigger=Trigger.CATCH_UP)
    talk.scene.store.inbox.want((catch_up,), datetime.now(UTC))
    talk.scene.rig.tell()
    assert [kind for _, kind in review.reactions] == [SEEN, DONE]
    assert gone.reactions == []
    assert [one.what for one in talk.heard()] == ["command.status"]
    assert len(talk.answers()) == 1


def test_a_comment_on_a_line_is_answered_in_its_thread(talk: Talk) -> None:
    hub, name = talk.place.hub, talk.app.name
    first = hub.review_comment(name, talk.number, "Dockerfile", 1, "Must it float?", by="rae")
    review = talk.review("@moorline status")
    asked = [
        hub.review_comment(
            name, talk.number, "Dockerfile", 1, f"@{talk.login} {text}", by=by, reply_to=first.id
        )
        for text, by in (("explain", "wes"), ("pause", "rae"))
    ]
    talk.scene.rig.tell()
    assert [[kind for _, kind in one.reactions] for one in asked] == [[SEEN, DONE], [SEEN, REFUSED]]
    thread = [one for one in hub[name].review_comments.values() if one.reply_to == first.id]
    answers = [one.body for one in thread if one.author.login == hub.bot]
    assert len(answers) == 2
    assert any("As of commit" in one for one in answers)
    assert any("needs the role `write`" in one for one in answers)
    # What the summary of the same review asks is answered below it.
    assert [kind for _, kind in review.reactions] == [SEEN, DONE]
    [below] = talk.answers()
    assert "No proposal of mine is open." in below
    assert [str(one.evidence["comment"]) for one in talk.heard()].count(f"comment/summary/{review.id}") == 1


def test_where_graphql_is_refused_it_is_said_why_nothing_was_done(talk: Talk) -> None:
    """The last one: whoever has met the refusal may remember it."""
    talk.place.refuse_graphql(403)
    try:
        review = talk.review("@moorline pause\n@moorline status")
        talk.scene.rig.tell()
    finally:
        talk.place.refuse_graphql(200)
    assert review.reactions == []  # which GraphQL alone could give
    [answer] = talk.answers()
    assert "Please say it in a comment of its own." in answer
    assert answer.count("I did nothing") == 1
    assert [(one.what, one.evidence["effect"]) for one in talk.heard()] == [
        ("command.pause", "unsure"),
        ("command.status", "unsure"),
    ]
    assert talk.scene.store.conversations.pause("github", talk.app.name, datetime.now(UTC)) is None
