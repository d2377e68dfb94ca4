"""A connection without a server: replies find their commands, in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofrig.gateways.gateway import Binding
from proofrig.gateways.redis_commands import Scripts
from proofrig.gateways.redis_dialogue import Dialogue, Shared, encoded
from proofrig.gateways.redis_keys import Keys
from proofrig.gateways.redis_protocol import Push, Refusal
from proofrig.history.history import History, pair
from proofrig.history.journal import Journal

TRIAL = Binding("secret-token", "case:0", "acme", "acme/f/a/0")


class Talk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0
        self.journal = Journal(folder, "rig", self.clock)
        known = {TRIAL.token: TRIAL}
        self.dialogue = Dialogue(Shared(self.journal, "redis", Keys(), Scripts(), known.get), 0)

    def clock(self) -> int:
        self.now += 1
        return self.now

    def say(self, *commands: str) -> list[bytes | None]:
        """What of each command goes to the server instead; None: as it is."""
        found = []
        for command in commands:
            split = [word.encode() for word in command.split(" ")]
            found.append(self.dialogue.command(split))
        return found

    def reply(self, *values: Any) -> list[bool]:
        return [self.dialogue.replied(value) for value in values]

    def told(self) -> list[tuple[Any, ...]]:
        self.journal.flush()
        actions = pair(History(self.folder).entries())
        return [(a.name, a.attr("key"), a.outcome, a.attr("value")) for a in actions]


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    return Talk(tmp_path)


def test_replies_belong_to_commands_in_their_order(talk: Talk) -> None:
    talk.say("GET a", "PING", "GET b", "SET c 1")
    talk.reply(b"1", b"PONG", Push([b"invalidate", [b"a"]]), b"2")
    talk.dialogue.settle_unknown("gone")
    assert talk.told() == [
        ("kv.get", "a", "ok", "1"),
        ("kv.get", "b", "ok", "2"),
        ("kv.put", "c", "unknown", "1"),
    ]


def test_what_names_a_trial_is_taken_off(talk: Talk) -> None:
    assert (
        talk.say(
            "PROOFRIG.TRIAL secret-token",
            "AUTH secret-token",
            "AUTH user secret-token",
            "AUTH secret-token any",
            "CLIENT SETNAME proofrig:secret-token",
        )
        == [b""] * 5
    )
    assert talk.dialogue.answers() == [b"+OK\r\n"] * 4
    assert talk.say("HELLO 3 AUTH default secret-token SETNAME me") == [
        encoded([b"HELLO", b"3", b"SETNAME", b"me"])
    ]
    talk.say("GET k")
    talk.reply([b"server", b"redis"], None)
    talk.journal.flush()
    (action,) = pair(History(talk.folder).entries())
    assert (action.trial, action.tenant, action.scope) == ("case:0", "acme", "acme/f/a/0")


@pytest.mark.parametrize(
    "command", ["AUTH other", "AUTH u p", "HELLO 3 AUTH u p", "HELLO 2", "CLIENT SETNAME me"]
)
def test_what_names_no_trial_is_the_servers(talk: Talk, command: str) -> None:
    assert talk.say(command) == [None]
    assert talk.reply(b"OK") == [False]


def test_an_answer_of_our_own_waits_for_those_before_it(talk: Talk) -> None:
    talk.say("GET a", "AUTH secret-token", "GET b")
    assert talk.dialogue.answers() == []
    talk.reply(b"1")
    assert talk.dialogue.answers() == [b"+OK\r\n"]
    talk.reply(b"2")
    assert [one[3] for one in talk.told()] == ["1", "2"]


def test_confirmations_are_no_replies(talk: Talk) -> None:
    talk.say("GET a", "SUBSCRIBE x y", "UNSUBSCRIBE", "GET b")
    talk.reply(b"1", [b"subscribe", b"x", 1], [b"message", b"x", b"hi"], [b"subscribe", b"y", 2])
    talk.reply([b"unsubscribe", b"x", 1], [b"unsubscribe", b"y", 0], b"2")
    assert [one[3] for one in talk.told()] == ["1", "2"]


def test_a_list_that_looks_like_a_message_is_a_reply_where_nobody_listens(talk: Talk) -> None:
    talk.say("LRANGE l 0 -1")
    talk.reply([b"message", b"x", b"hi"])
    assert talk.told() == [("kv.get", "l", "ok", '["message","x","hi"]')]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ([b"OK", 0], ("ok", "fail")),
        (None, ("fail", "fail")),
        (Refusal(b"EXECABORT"), ("fail",) * 2),
    ],
)
def test_exec_tells_what_became_of_what_was_queued(
    talk: Talk, reply: Any, outcome: tuple[str, str]
) -> None:
    talk.say("WATCH k", "GET k", "MULTI", "SET k 2", "DEL gone")
    talk.reply(b"OK", b"1", b"OK", b"QUEUED", b"QUEUED")
    assert talk.told() == [("kv.get", "k", "ok", "1")]  # nothing has happened yet
    talk.say("EXEC")
    talk.reply(reply)
    assert talk.told()[1:] == [
        ("kv.cas", "k", outcome[0], "2"),
        ("kv.cas", "gone", outcome[1], None),
    ]


def test_databases_are_told_apart(talk: Talk) -> None:
    talk.say("SELECT 2", "GET k", "SELECT 99", "GET k")
    talk.reply(b"OK", None, Refusal(b"ERR out of range"))
    talk.say("GET k")
    assert [one[1] for one in talk.told()] == ["2/k", "99/k", "2/k"]


def test_blindness_is_noted_and_settles_what_was_open(talk: Talk) -> None:
    talk.say("SET k 1", "MONITOR")
    assert talk.dialogue.blind
    assert talk.told() == [("kv.put", "k", "unknown", "1")]
    notes = [e for e in History(talk.folder).entries() if e.name == "blind"]
    assert [e.attrs for e in notes] == [{"service": "redis", "why": "MONITOR was sent"}]
