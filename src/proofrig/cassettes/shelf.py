"""Finds the recorded answer to a request.

Rules:
1. Looked for in this order: the very bytes; the canonical form in the lineage that the request
   continues; the canonical form in any lineage of the trial. Of equals, the first recorded.
2. An exchange is served once. Asked again it is a miss, so that loops are seen; but one whose
   answer was not taken to its end is free again, and a client that says it tries again
   (`x-stainless-retry-count`) and finds no further attempt gets the last one.
3. Each trial of a run has a shelf of its own. Attempts at a trial (`case:1`, `case:1~2`) get those
   that were recorded, in their order: the first may be a later one, where a run was resumed. An
   attempt beyond them gets the first.
4. Ids that were others when it was recorded are others everywhere in the trial, each for one: an
   answer that is of another id than the one asked for is not its answer.
5. Canonical forms are made when the very bytes were not found in a trial for the first time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from proofrig.cassettes.asked import Asked, Channel, asked_of
from proofrig.cassettes.canonical import Canonical, Canonicaliser
from proofrig.cassettes.cassette import Cassette
from proofrig.cassettes.exchange import Exchange
from proofrig.cassettes.lineage import Lineages
from proofrig.cassettes.miss import Known, Miss, miss_of, nearest
from proofrig.wire.outbound import Outbound

_NONE = (True, 0, 0)
_LONG = 8  # bytes of an id that stands nowhere by chance
_RETRY = "x-stainless-retry-count"


class Live:
    """The request belongs to a lineage that goes on live."""


LIVE = Live()


class Shelf:
    """The exchanges of a cassette, by trial; those that `wanted` says."""

    def __init__(
        self,
        cassette: Cassette,
        canonicaliser: Canonicaliser,
        wanted: Callable[[Exchange], bool] = lambda exchange: True,
    ) -> None:
        self.cassette = cassette
        self._canonicaliser = canonicaliser
        self._recorded: dict[str, list[Exchange]] = {}
        for exchange in cassette.exchanges:
            kept = self._recorded.setdefault(exchange.trial, [])
            if wanted(exchange):
                kept.append(exchange)
        self._attempts: dict[str, list[str]] = {}
        for name in sorted(self._recorded, key=_attempt):
            self._attempts.setdefault(name.partition("~")[0], []).append(name)
        self._trials: dict[str, _Trial] = {}

    def find(self, call: Outbound, channel: Channel) -> Exchange | Miss | Live:
        """The recorded exchange of a call, which is served with that; or why there is none."""
        trial = self._trial(call.trial)
        asked = asked_of(call, channel)
        if trial is None:
            name = asked.tool or asked.name
            known = sorted(self._recorded)
            return Miss("unknown_trial", call.trial, "", 0, channel, name, known=known)
        return trial.find(asked, call)

    def give_back(self, trial: str, exchange: Exchange) -> None:
        """The answer was not taken to its end: it can be served again."""
        if (kept := self._trials.get(trial)) is not None:
            kept.give_back(exchange)

    def go_live(self, trial: str, lineage: str) -> None:
        """The rest of this lineage is live."""
        if (kept := self._trials.get(trial)) is not None:
            kept.live.add(lineage)

    def left(self, trial: str) -> int:
        """How many exchanges of a trial were not asked for."""
        kept = self._trial(trial)
        return 0 if kept is None else len(kept.recorded) - len(kept.served)

    def end(self, trial: str) -> None:
        """Forget what is kept for a trial; its exchanges stay."""
        self._trials.pop(trial, None)

    def _trial(self, name: str) -> _Trial | None:
        found = self._trials.get(name)
        if found is None:
            attempts = self._attempts.get(name.partition("~")[0])
            if attempts is None:
                return None
            place = _attempt(name) - 1
            recorded = self._recorded[attempts[place if place < len(attempts) else 0]]
            found = self._trials[name] = _Trial(self.cassette, self._canonicaliser, recorded)
        return found


class _Trial:
    """The shelf of one trial."""

    def __init__(
        self, cassette: Cassette, canonicaliser: Canonicaliser, recorded: list[Exchange]
    ) -> None:
        self.recorded = {exchange.n: exchange for exchange in recorded}
        self.served: dict[int, None] = {}  # in the order in which they were
        self.live: set[str] = set()
        self._cassette = cassette
        self._canonicaliser = canonicaliser
        self._raw: dict[str, list[int]] = {}
        for exchange in recorded:  # in the order of their numbers: each list is a heap
            if exchange.raw:
                self._raw.setdefault(exchange.raw, []).append(exchange.n)
        self._last: dict[str, Exchange] = {}
        self._index: _Index | None = None

    def find(self, asked: Asked, call: Outbound) -> Exchange | Miss | Live:
        form = None
        if self.live:
            form = self._canonicaliser.form(asked)
            if self._made_index().lineages.of(form) in self.live:
                self._made_index().lineages.place(form)
                return LIVE
        raw = asked.raw()
        number = self._free(self._raw.get(raw))
        if number is not None:
            return self._serve(self.recorded[number], raw)
        if (again := self._last.get(raw)) is not None and _tries_again(call):
            return again
        index = self._made_index()
        if form is None:
            form = self._canonicaliser.form(asked)
        found = self._of_hash(index, form)
        if found is not None:
            return self._serve(found, raw, form)
        near = nearest(asked, form, self._known(index))
        last = -1
        if near:
            lineage = near[0].lineage
            turns = (self.recorded[n].turn for n in self.served if self._is_of(n, lineage))
            last = max(turns, default=-1)
        place = index.lineages.place(form)
        return miss_of(asked, form, place, trial=call.trial, near=near, last_common=last)

    def give_back(self, exchange: Exchange) -> None:
        if self.served.pop(exchange.n, 0) is None:
            if exchange.raw:
                heapq.heappush(self._raw[exchange.raw], exchange.n)
            if self._index is not None:
                heapq.heappush(self._index.by_hash[self._index.forms[exchange.n].hash], exchange.n)

    def _of_hash(self, index: _Index, form: Canonical) -> Exchange | None:
        """The exchange of this canonical form: of the same lineage first."""
        numbers = index.by_hash.get(form.hash)
        if self._free(numbers) is None or numbers is None:
            return None
        lineage = index.lineages.of(form)
        free = {n for n in numbers if n not in self.served}
        fitting = [(differing, n) for n in free if (differing := index.differing(n, form)) >= 0]
        # Of the same lineage, then with the most ids as they were, then the first recorded.
        _, _, number = min(((not self._is_of(n, lineage), d, n) for d, n in fitting), default=_NONE)
        return self.recorded.get(number)

    def _serve(self, exchange: Exchange, raw: str, form: Canonical | None = None) -> Exchange:
        self.served[exchange.n] = None
        self._last[raw] = exchange
        if self._index is not None:
            self._index.served(exchange, self._cassette.response(exchange), form)
        return exchange

    def _free(self, numbers: list[int] | None) -> int | None:
        """The first of these that was not served; what was served is taken off the heap."""
        while numbers:
            if numbers[0] not in self.served:
                return numbers[0]
            heapq.heappop(numbers)
        return None

    def _is_of(self, number: int, lineage: str) -> bool:
        return self.recorded[number].lineage == lineage

    def _known(self, index: _Index) -> Iterator[Known]:
        for n, exchange in self.recorded.items():
            yield Known(exchange, index.asked[n], index.forms[n], n in self.served)

    def _made_index(self) -> _Index:
        if self._index is None:
            self._index = _Index(self._cassette, self._canonicaliser, self.recorded)
            for n in self.served:
                exchange = self.recorded[n]
                self._index.served(exchange, self._cassette.response(exchange))
        return self._index


class _Index:
    """The canonical forms of a trial's exchanges, and the lineages as far as they were served."""

    def __init__(
        self, cassette: Cassette, canonicaliser: Canonicaliser, recorded: dict[int, Exchange]
    ) -> None:
        self.asked: dict[int, Asked] = {}
        self.forms: dict[int, Canonical] = {}
        self.by_hash: dict[str, list[int]] = {}
        self._now: dict[str, str] = {}  # recorded id -> the id in this run
        self._was: dict[str, str] = {}
        self._answers: list[Exchange] = []  # that were served
        self._cassette = cassette
        self.lineages = Lineages(exchange.lineage for exchange in recorded.values())
        for n, exchange in recorded.items():
            asked = self.asked[n] = exchange.asked(cassette.request(exchange))
            form = self.forms[n] = canonicaliser.form(asked)
            self.by_hash.setdefault(form.hash, []).append(n)

    def served(self, exchange: Exchange, answer: bytes, form: Canonical | None = None) -> None:
        """An exchange was served; `form`: what was asked, where it was not the very bytes."""
        recorded = self.forms[exchange.n]
        for was, now in zip(recorded.ids, (form or recorded).ids, strict=True):
            self._now.setdefault(was, now)
            self._was.setdefault(now, was)
        self._answers.append(exchange)
        self.lineages.at(exchange.lineage, recorded)
        self.lineages.replied(exchange.lineage, answer)

    def differing(self, number: int, form: Canonical) -> int:
        """How many ids of a request are others than in a recorded one of the same form; -1 when
        they cannot stand for each other."""
        count = 0
        for was, now in zip(self.forms[number].ids, form.ids, strict=True):
            if was != now:
                count += 1
                if was in self._now or now in self._was:
                    fits = self._now.get(was) == now and self._was.get(now) == was
                else:
                    fits = not (self._told(was) or self._told(now))
                if not fits:
                    return -1
        return count

    def _told(self, id: str) -> bool:
        """An id that came with an answer is the same in every run."""
        told = id.encode("utf-8", "surrogatepass")
        if len(told) < _LONG:
            return False
        return any(told in self._cassette.response(exchange) for exchange in self._answers)


def _attempt(trial: str) -> int:
    """Which attempt a trial's name says that it is."""
    number = trial.partition("~")[2]
    return int(number) if number.isdecimal() else 1


def _tries_again(call: Outbound) -> bool:
    said = call.headers.get(_RETRY, "")
    return said.isdigit() and int(said) > 0
