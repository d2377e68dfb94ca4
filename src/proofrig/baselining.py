"""What a run is held against, found by the name a person gives it; and runs kept for later ones.

    ""                      the baseline of the suite's branch: its runs in the store, pooled
    main, release           that of another branch
    last, 2026, <path>      one run, by its id, the beginning of one, or its directory
    baseline.json           a file that `proofrig baseline export` wrote

Rules:
1. A name that ends with .json is a file; the directory of a run is meant before anything of its
   name in the store, a whole id before a branch, a branch before the beginning of an id.
2. A run that is judged is never part of what it is held against.
3. A branch may have nothing yet to hold a run against: that decides nothing, and is no mistake. A
   name of nothing is one.
4. A run's sample lies beside its summary; of a run without one it is folded from the history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from proofrig.branches import DIRTY
from proofrig.comparisons.baseline import (
    Objection,
    conditions_of,
    may_save,
    parse,
    pooled,
    read_file,
    render,
    scenarios_of,
)
from proofrig.comparisons.comparison import Comparison, Word
from proofrig.comparisons.sample import Sample
from proofrig.comparisons.sampling import ToolsFold, sample_of
from proofrig.errors import UsageError
from proofrig.history.history import History
from proofrig.history.payloads import PayloadReader
from proofrig.places import RUNS, run_name
from proofrig.results import RowsFold, Summary
from proofrig.trials import manifest as manifests
from proofrig.trials.rundir import runs_below

if TYPE_CHECKING:
    from proofrig.store import BaselineRecord, Store

T = TypeVar("T")

SUMMARY = "summary.json"
SAMPLE = "sample.json"
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """For which run something to hold it against is wanted: its suite, the suite's digest ("": any)
    and its manifest's settings (None: any). `branch`: the one whose baseline is meant by "";
    `most`: measured trials per case above which nothing more is pooled; `but`: the id of the run
    itself. `root` and `store_url`: where runs and baselines are kept."""

    suite: str
    root: Path
    store_url: str
    digest: str = ""
    settings: Mapping[str, Any] | None = None
    branch: str = "main"
    most: int = 20
    but: str = ""


class NoBaseline(UsageError):
    """A branch has nothing to hold this run against; why, and what to do."""


@contextmanager
def _opened(url: str) -> Iterator[Store]:
    from proofrig.store import Store  # loads SQLAlchemy, which only the end of a run needs

    store = Store(url)
    try:
        yield store
    finally:
        store.close()


def find_baseline(ref: str, wanted: Wanted) -> Sample:
    """What `ref` names. Raises NoBaseline for a branch that has nothing to hold the run against,
    which the branch of "" may be, and UsageError for a name of nothing, with what there is."""
    if found := _of_path(ref, wanted.but):
        return found
    with _opened(wanted.store_url) as store:
        found = _named(store, ref, wanted) if ref else _of_branch(store, wanted.branch, wanted)
        if found is not None:
            return found
        records = store.baselines(wanted.suite)
    branches = list(dict.fromkeys(record.branch for record in records))
    branch = ref or wanted.branch
    if branch in branches or branch == wanted.branch:
        raise NoBaseline(_lack(branch, [one for one in records if one.branch == branch], wanted))
    raise UsageError(_nothing(ref, branches, wanted))


def find_sample(
    ref: str, root: Path, store_url: str, *, suite: str = "", held: Sample | None = None
) -> Sample:
    """What `ref` names, whoever asks; "" is the baseline that was kept last. `suite`: whose
    branches are meant ("": of any); `held`: what it will be held against, which it comes near to
    and is no part of. Raises UsageError as `find_baseline` does, where there is no baseline yet,
    and for a branch of several suites."""
    but = held.runs[-1] if held else ""
    if found := _of_path(ref, but):
        return found
    suite = held.suite if held else suite
    with _opened(store_url) as store:
        records = store.baselines(suite)
    suites = dict.fromkeys(record.suite for record in records if ref in ("", record.branch))
    if len(suites) > 1:
        raise UsageError(f"which suite? There are {', '.join(suites)}: say one, or name a run")
    wanted = Wanted(
        suite=next(iter(suites), suite),
        root=root,
        store_url=store_url,
        digest=held.suite_digest if held else "",
        settings=held.settings if held else None,
        branch=records[0].branch if records else "",
        but=but,
    )
    return find_baseline(ref, wanted)


def _of_path(ref: str, but: str) -> Sample | None:
    """A baseline's file, or a run by its directory. Raises NoBaseline where the run `but` is in it:
    of such a mixture a run cannot be taken out again."""
    if ref.endswith(".json"):
        found = read_file(Path(ref))
    elif ref and (Path(ref) / manifests.FILE).is_file():
        found = read_sample(Path(ref))
    else:
        return None
    if but in found.runs:
        raise NoBaseline(f"{ref} holds this run itself; name a run or a baseline that does not")
    return found


def _named(store: Store, ref: str, wanted: Wanted) -> Sample | None:
    """A run or a branch. Raises UsageError when it could be several runs."""
    runs = run_dirs(ref, wanted.root, wanted.store_url, wanted.but)
    if runs and (ref == "last" or runs[0].name == ref):
        return read_sample(runs[0])
    if found := _of_branch(store, ref, wanted):
        return found
    if len(runs) > 1:
        raise UsageError(_several(ref, runs))
    if runs:
        return read_sample(runs[0])
    kept = [record for record in store.kept(ref) if record[0].run != wanted.but]
    return _parsed(*kept[0]) if kept else None


def find_run(name: str, root: Path, store_url: str) -> Path:
    """The directory of the run that `name` says: a path, an id, the beginning of one, or `last`.
    Raises UsageError that lists what there is."""
    if (Path(name) / manifests.FILE).is_file():
        return Path(name).absolute()
    found = run_dirs(name, root, store_url)
    if len(found) == 1:
        return found[0].absolute()
    if found:
        raise UsageError(_several(name, found))
    below = [run.name for run in runs_below(root)]
    none = "there is none yet: start one with `proofrig run`"
    known = f"the latest are: {', '.join(below[-_SHOWN:])}" if below else none
    raise UsageError(f"no run {name!r} in {root.absolute() / RUNS}; {known}")


def _several(name: str, runs: Sequence[Path]) -> str:
    shown = ", ".join(run.name for run in runs[: 2 * _SHOWN])
    return f"{name!r} could be any of: {shown}; write more of it"


def run_dirs(name: str, root: Path, store_url: str, but: str = "") -> list[Path]:
    """The directories of the runs whose id is `name`, else of those whose id begins with it: below
    `root`, else those that the store knows and that are still there. "last" is the newest."""
    below = [run for run in runs_below(root) if run.name != but]
    if name == "last":
        found = below[-1:]
    else:
        found = [run for run in below if run.name == name]
        found = found or [run for run in below if run.name.startswith(name)]
    if found:
        return found
    with _opened(store_url) as store:
        records = [record for record in store.find(name) if record.run != but]
    return [Path(record.path) for record in records if Path(record.path).is_dir()]


def _of_branch(store: Store, branch: str, wanted: Wanted) -> Sample | None:
    """The baseline of a branch, with the runs that may be pooled with it."""
    from proofrig.store import Circumstances

    settings = wanted.settings
    circumstances = Circumstances(
        digest=wanted.digest,
        scenarios=None if settings is None else scenarios_of(settings),
        conditions="" if settings is None else conditions_of(settings),
        but=wanted.but,
    )
    found = store.baseline(wanted.suite, branch, circumstances, max(1, wanted.most))
    samples = [_parsed(record, data) for record, data in found]
    return pooled(samples, wanted.most) if samples else None


def _parsed(record: BaselineRecord, data: bytes) -> Sample:
    return parse(data, f"the store, of run {record.run}")


def write_sample(run_dir: Path, sample: Sample) -> None:
    """Put what a run came to beside its summary. Raises OSError."""
    (run_dir / SAMPLE).write_text(render(sample), "utf-8")


def read_sample(run_dir: Path) -> Sample:
    """What a run came to, as far as another can be held against it. Raises UsageError for a run
    that came to nothing yet, or of which nothing can be read."""
    with suppress(FileNotFoundError, UsageError):  # of another version: fold it
        return parse((run_dir / SAMPLE).read_bytes(), str(run_dir / SAMPLE))
    manifest = msgspec.to_builtins(manifests.read(run_dir))
    summary = concluded(run_dir, _Concluded).summary
    rows, tools = RowsFold(), ToolsFold(PayloadReader(run_dir).get)
    History(run_dir).fold(rows, tools)
    return sample_of(manifest, summary, rows.result(), tools.result())


def objection_to(run_dir: Path, sample: Sample, infra_ceiling: float) -> Objection | None:
    """Why a run should not become a baseline, from its sample and what it came to; see `may_save`.
    Raises UsageError for a run that came to nothing yet."""
    came = concluded(run_dir, _Concluded)
    verdict = came.comparison.verdict if came.comparison else None
    return may_save(sample, status=came.status, verdict=verdict, infra_ceiling=infra_ceiling)


class _Concluded(msgspec.Struct):
    """Of what a run came to, that which is needed here."""

    status: str
    summary: Summary
    comparison: Comparison | None = None


def concluded(run_dir: Path, kind: type[T]) -> T:
    """What a run came to when it last ended, as a `kind`. Raises UsageError for one that never did,
    or of which that is not whole."""
    try:
        return msgspec.json.decode((run_dir / SUMMARY).read_bytes(), type=kind)
    except FileNotFoundError:
        raise UsageError(
            f"run {run_dir.name} was cut off before it came to a result; "
            f"finish it with `proofrig resume {run_name(run_dir)}`"
        ) from None
    except msgspec.DecodeError as error:
        raise UsageError(
            f"expected what run {run_dir.name} came to in {run_dir / SUMMARY}, got a file that is "
            f"not whole: {error}. `proofrig rescore {run_name(run_dir)}` writes it again."
        ) from error


def _lack(branch: str, records: Sequence[BaselineRecord], wanted: Wanted) -> str:
    """Why a branch with these baselines has nothing to hold the run against, and what to do."""
    of, on = f" of {wanted.suite}" * bool(wanted.suite), f" on {branch}" * bool(branch)
    others = [record for record in records if record.run != wanted.but]
    if not records:
        return f"there is no baseline{of}{on} yet; keep a run with `proofrig baseline set`"
    if not others:
        return f"the only baseline{of}{on} is this run itself"
    played = sorted({name or "the plain plan" for one in others for name in one.scenarios})
    return (
        f"the baselines{of}{on} are of {', '.join(played)}, and this run has none of these; keep "
        "one like it with `proofrig baseline set`"
    )


def _nothing(ref: str, branches: Sequence[str], wanted: Wanted) -> str:
    """That `ref` names nothing that can be used, and what there is instead."""
    runs = [run.name for run in runs_below(wanted.root) if run.name != wanted.but]
    kept = f"with a baseline are {', '.join(branches)}" if branches else "no branch has a baseline"
    where = f"in {wanted.root / RUNS}"
    none = f"{'no other' if wanted.but else 'none'} is {where}"
    latest = f"the latest {where} are {', '.join(runs[-_SHOWN:])}" if runs else none
    return (
        f"expected a run, a branch or a baseline's file to hold runs against, got {ref!r}. "
        f"Branches: {kept}. Runs: {latest}. Files end with .json."
    )


def keep(sample: Sample, branch: str, store_url: str, now_ns: int, *, pinned: bool) -> None:
    """Keep a run as a baseline of `branch`, in place of what was kept of it before. `now_ns`:
    wall-clock nanoseconds. Raises InfraError where the store fails."""
    from proofrig.store import BaselineRecord

    measured = [trial for trial in sample.trials if trial.passed is not None]
    record = BaselineRecord(
        run=sample.runs[-1],
        branch=branch,
        suite=sample.suite,
        suite_digest=sample.suite_digest,
        saved_ns=now_ns,
        commit=sample.commit,
        pinned=pinned,
        scenarios=scenarios_of(sample.settings),
        conditions=conditions_of(sample.settings),
        cases=len({trial.case for trial in measured}),
        measured=len(measured),
        passed=sum(1 for trial in measured if trial.passed),
    )
    with _opened(store_url) as store:
        store.save_baseline(record, render(sample).encode())


def autosave(
    sample: Sample,
    branch: str,
    store_url: str,
    now_ns: int,
    *,
    status: str,
    verdict: Word | None = None,
    infra_ceiling: float = 0.02,
) -> str:
    """Keep a run that was made on `branch` as a baseline of it, if it may be one, see `may_save`.
    What a person should be told; "" for a run of another branch. Raises InfraError where the store
    fails."""
    if sample.branch != branch:
        return ""
    objection = may_save(sample, status=status, verdict=verdict, infra_ceiling=infra_ceiling)
    why = objection.says if objection else ""
    if not why and sample.commit.endswith(DIRTY):
        why = "what ran was not what is committed"
    if not why:
        keep(sample, branch, store_url, now_ns, pinned=False)
        return f"kept as a baseline of {branch}"
    with _opened(store_url) as store:
        store.forget_autosaved(sample.runs[-1])  # it may have looked better before a rescore
    return f"not kept as a baseline of {branch}: {why}"
