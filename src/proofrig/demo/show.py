"""The demo: the race, four scenes, the ledger, the reports; and whether all came out as promised.

Rules:
1. Everything shown is read from the histories and ledgers of runs that really took place.
2. It is a success only if every promise was kept and every ledger fits.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.live import Live
from rich.text import Text

from proofrig.demo.accounts import (
    Accounts,
    read_accounts,
    unbalanced,
    unlike_children,
    unlike_history,
)
from proofrig.demo.counters import Counters
from proofrig.demo.playing import Playing
from proofrig.demo.promises import (
    RUNAWAY_USD_MICRO,
    Played,
    Promise,
    of_the_race,
    spent,
)
from proofrig.demo.scenes import RACE_SAYS, RACE_TITLE, SCENES, Scene
from proofrig.demo.screen import Screen
from proofrig.demo.telling import Line, Teller
from proofrig.places import run_name, shortest
from proofrig.reports.words import money, plural

SUITES = Path(__file__).parent / "suites"
TICK_S = 0.1
SHOWN_MOVES = 12


@dataclass(slots=True)
class Demo:
    """The demo on its way. root: where its runs are kept. short: the left agent is cut off
    sooner. suites: where the suites lie. ending: what ends the runs."""

    screen: Screen
    root: Path
    short: bool = False
    suites: Path = SUITES
    played: list[Playing] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    ending: ExitStack = field(default_factory=ExitStack)

    def perform(self) -> bool:
        """All of it. Returns whether everything came out as promised."""
        began = time.monotonic()
        with self.ending:
            self._opening()
            self._race()
            for number, scene in enumerate(SCENES, 2):
                self.scene(number, scene)
            self._ledger(len(SCENES) + 2)
            self._reports()
        return self._verdict(time.monotonic() - began)

    def _opening(self) -> None:
        where = shortest(self.root / "runs")
        head = Text.assemble(("proofrig demo", "bold"), "  offline, no key, about half a minute.")
        self.screen.print(head)
        self.screen.print(
            Text(
                "Six runs of real agents, on a simulated model that costs what a large one costs.\n"
                f"All you see is read from their histories, which are kept in {where}.",
                "dim",
            )
        )

    # ---- the race

    def _race(self) -> None:
        self.screen.title(1, RACE_TITLE, RACE_SAYS)
        case = "brief" if self.short else "parcel"
        runs = self._play("runaway_without", case), self._play("runaway_with")
        sides = Counters(), Counters()
        watching = self._watch_live if self.screen.redraws else self._watch_lines
        watching(runs, sides, Teller(runs[1].payload, quiet=True))
        self._race_over(runs, sides)

    def _play(self, suite: str, case: str = "") -> Playing:
        """Begin a run. It is ended, at the latest, with the demo."""
        path = self.suites / f"{suite}.yaml"
        playing = self.ending.enter_context(Playing(path, self.root, case))
        self.played.append(playing)
        return playing

    def _race_over(self, runs: tuple[Playing, Playing], sides: tuple[Counters, Counters]) -> None:
        screen, (left, right) = self.screen, sides
        day = left.an_hour(runs[0].now_ns()) * 24
        screen.print()
        first = Text.assemble("   A day of the left one, at its pace  ", (money(day), "bold red"))
        screen.print(first)
        whole = f"${right.usd_micro / 1e6:.2f}"
        screen.print(
            Text.assemble("   All of the right one                ", (whole, "bold green"))
        )
        promises = of_the_race(Played.of(runs[0]), Played.of(runs[1]))
        self._keep(promises)

    def _ticks(self, runs: Sequence[Playing], trials: int = 1) -> Iterator[None]:
        """Until all trials of all runs have ended. What a run does after that, its report, goes on
        while the next one begins."""
        while not all(run.over or run.ended_trials >= trials for run in runs):
            yield
            time.sleep(TICK_S)

    def _follow(
        self, runs: tuple[Playing, Playing], sides: tuple[Counters, Counters], teller: Teller
    ) -> list[Line]:
        """Take in what is new; the right side's lines."""
        lines = []
        for run, side in zip(runs, sides, strict=True):
            for entry in run.poll():
                side.step(entry)
                if run is runs[1]:
                    lines += teller.told(entry)
        return lines

    def _watch_live(
        self, runs: tuple[Playing, Playing], sides: tuple[Counters, Counters], teller: Teller
    ) -> None:
        screen, lines = self.screen, list[Line]()
        budgets = (None, RUNAWAY_USD_MICRO)
        with Live(console=screen.console, auto_refresh=False, transient=True) as live:
            for _ in self._ticks(runs):
                lines += self._follow(runs, sides, teller)
                now = [run.now_ns() for run in runs]
                panels = list(zip(sides, now, budgets, strict=True))
                live.update(screen.race(panels, lines[-screen.room :]), refresh=True)
        screen.print(screen.race(panels, lines))

    def _watch_lines(
        self, runs: tuple[Playing, Playing], sides: tuple[Counters, Counters], teller: Teller
    ) -> None:
        screen, due = self.screen, 1.0
        for _ in self._ticks(runs):
            for line in self._follow(runs, sides, teller):
                screen.print(screen.line(line))
            now = runs[0].now_ns(), runs[1].now_ns()
            if sides[0].elapsed_ns(now[0]) >= due * 1e9 and sides[0].ended_ns < 0:
                screen.print(screen.second(*sides, now))
                due = sides[0].elapsed_ns(now[0]) // 1_000_000_000 + 1
        screen.print(screen.second(*sides, (runs[0].now_ns(), runs[1].now_ns())))

    # ---- the scenes

    def scene(self, number: int, scene: Scene) -> None:
        """Play one scene. Its runs end with `ending`."""
        screen = self.screen
        screen.title(number, scene.title, scene.says)
        playing = self._play(scene.suite)
        teller = Teller(playing.payload, named=scene.team)
        for _ in self._ticks([playing], scene.trials):
            for entry in playing.poll():
                for line in teller.told(entry):
                    screen.print(screen.line(line))
        played = Played.of(playing)
        promises = scene.promises(played)
        self.promises += promises
        screen.card(played, promises)

    # ---- the end

    def _ledger(self, number: int) -> None:
        screen = self.screen
        screen.title(number, "The ledger", "What each scope was given, holds, spent, has left.")
        for playing in self.played:
            while not playing.over:
                playing.poll()
                time.sleep(TICK_S)
        books = [read_accounts(playing.folder) for playing in self.played]
        screen.ledger([account for one in books for account in one.shown()])
        self._keep(self._sums(books))
        screen.print()
        screen.print(
            Text("   What moved last in the support agent's ledger, starts left out", "dim")
        )
        screen.print()
        support = [playing.path.stem for playing in self.played].index("support")
        moves = [made for made in books[support].moves if made.event != "start"]
        screen.moves(moves[-SHOWN_MOVES:])

    def _sums(self, books: Sequence[Accounts]) -> list[Promise]:
        """What must hold in every ledger, as promises."""
        accounts = [one.accounts for one in books]
        actions = [playing.actions() for playing in self.played]
        uneven = [said for one in accounts for said in unbalanced(one)]
        apart = [said for one in accounts for said in unlike_children(one)]
        other = [
            said
            for one, of in zip(accounts, actions, strict=True)
            for said in unlike_history(one, of)
        ]
        charged = money(sum(spent(of) for of in actions))
        says = (
            "allocated = remaining + reserved + spent, and nothing is reserved",
            "each scope spent what the scopes below it spent together",
            f"the ledgers charged what the histories have: {charged}",
        )
        found = zip(says, (uneven, apart, other), strict=True)
        return [Promise(text, not wrong, "; ".join(wrong[:3])) for text, wrong in found]

    def _reports(self) -> None:
        screen = self.screen
        screen.title(len(SCENES) + 3, "Look for yourself", "Each run has its report.")
        for playing in self.played:
            screen.whole(f"   {shortest(playing.folder / 'report.html')}")
        screen.print()
        screen.whole(f"   proofrig show {run_name(self.played[1].folder)}")
        screen.whole(f"   proofrig run {shlex.quote(shortest(self.played[2].path))}")

    def _verdict(self, seconds: float) -> bool:
        screen, broken = self.screen, [one for one in self.promises if not one.kept]
        screen.print()
        if broken:
            said = f"{len(broken)} of {plural(len(self.promises), 'promise')} not kept"
            screen.print(Text(f"{screen.glyphs.failed} {said}, in {seconds:.0f} s", "bold red"))
            for line in screen.promises(broken):
                screen.print(line)
            return False
        said = f"all {len(self.promises)} promises kept"
        screen.print(Text(f"{screen.glyphs.passed} {said}, in {seconds:.0f} s", "bold green"))
        return True

    def _keep(self, promises: Sequence[Promise]) -> None:
        self.promises += promises
        self.screen.print()
        for line in self.screen.promises(promises):
            line.pad_left(3)
            self.screen.print(line)
