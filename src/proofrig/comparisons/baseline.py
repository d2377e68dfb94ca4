"""Baselines as values: which runs may become one, which may be pooled, and the file of one.

Rules:
1. Runs are pooled when nothing differs that the agent could notice: suite digest, what was run, and
   how. A run is taken whole or not at all, so that its measures and its infra share stay true.
2. The first sample is the one that was chosen to be held against. It is never cut or left out.
3. The commit may differ, and with it the agent. So pooling ends at the first run that disagrees
   with those that were taken: what is older was made by another agent.
4. A baseline's file is its sample as JSON, one trial to a line, so that a diff of it can be read.
   A file that is anything else is refused with what it seems to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from proofrig.comparisons.comparison import Word
from proofrig.comparisons.sample import SCHEMA, Sample
from proofrig.comparisons.sampling import pool
from proofrig.errors import UsageError
from proofrig.stats.flaky import drift_by_case

DISAGREE = 0.05  # p at which two runs no longer have one pass rate: a doubtful one is not needed

# Of a manifest's `what`: how often infra trials are tried again, and how traffic came to the
# gateway. Neither changes what an agent is answered.
_UNNOTICED = ("suite_digest", "cases", "retries", "redirection")
# Of a manifest's settings: what a run was put under besides its suite.
_CONDITIONS = ("agents", "tenants", "packs", "faultless", "replay")


def scenarios_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The scenarios of a run with these manifest settings, in order; "" is the plain plan."""
    names = set(settings.get("scenarios") or ())
    return tuple(sorted(names | {""} if not names or settings.get("plain") else names))


def conditions_of(settings: Mapping[str, Any]) -> str:
    """What else a run was put under, in words that are equal where the conditions are: "" for
    nothing besides its suite."""
    asked = {name: settings.get(name) for name in _CONDITIONS}
    return ", ".join(f"{name} {_word(value)}" for name, value in asked.items() if value)


def _word(value: object) -> str:
    """A setting on one line; the order in which names were given does not matter."""
    if isinstance(value, list | tuple):
        return " ".join(sorted(str(part) for part in value))
    return msgspec.json.encode(value, order="sorted").decode()


def alike(one: Sample, other: Sample) -> bool:
    """Whether the trials of both may stand together as those of one run."""
    return _identity(one) == _identity(other)


def _identity(sample: Sample) -> tuple[Any, ...]:
    what = {name: value for name, value in sample.what.items() if name not in _UNNOTICED}
    settings = sample.settings
    how = (scenarios_of(settings), conditions_of(settings))
    return sample.suite, sample.suite_digest, sample.cases, what, how


def pooled(samples: Sequence[Sample], most: int = 20) -> Sample:
    """The first sample with those of the others, in their order, that are like it: as many whole
    runs as leave no case of a scenario with more than `most` measured trials, and none from the
    first on whose pass rates are others than those of the runs before it. The first is used
    whatever its size."""
    chosen, *others = samples
    together, trials, passes = [chosen], _measured(chosen), _passed(chosen)
    for other in others:
        if not alike(chosen, other):
            continue
        more, better = _measured(other), _passed(other)
        if max((trials + more).values(), default=0) > most:
            break
        cases = sorted(trials | more)
        arms = ((trials, passes), (more, better))
        if drift_by_case([[(n[case], x[case]) for case in cases] for n, x in arms]) < DISAGREE:
            break
        together.append(other)
        trials, passes = trials + more, passes + better
    if len(together) == 1:
        return chosen
    return pool(sorted(together, key=lambda sample: sample.started_ns))


def _measured(sample: Sample) -> Counter[tuple[str, str]]:
    """How many measured trials there are of each case, by scenario."""
    found = [trial for trial in sample.trials if trial.passed is not None]
    return Counter((trial.scenario, trial.case) for trial in found)


def _passed(sample: Sample) -> Counter[tuple[str, str]]:
    """How many trials of each case passed, by scenario."""
    return Counter((trial.scenario, trial.case) for trial in sample.trials if trial.passed)


class Objection(msgspec.Struct, frozen=True):
    """Why a run should not be a baseline, as the end of a sentence. `final`: nothing can be held
    against it, whatever anybody wants."""

    says: str
    final: bool = False


def may_save(
    sample: Sample, *, status: str, verdict: Word | None = None, infra_ceiling: float = 0.02
) -> Objection | None:
    """Why the run of `sample` should not become a baseline; None when it may. `status`: how it
    ended. `verdict`: of holding it against the baseline there was, None without one.
    `infra_ceiling`: the share of trials that may have failed for reasons around the agent."""
    trials, cases = len(sample.trials), {trial.case for trial in sample.trials}
    measured = {case for _, case in _measured(sample)}
    if not measured:
        return Objection("no trial of it was measured", final=True)
    if status != "finished":
        return Objection(f"it did not finish: {status}")
    if only := sample.settings.get("only"):
        of = f"{len(only)} of {len(sample.cases)} cases" if sample.cases else f"{len(only)} cases"
        return Objection(f"it ran a selection, {of}")
    if sample.settings.get("replay"):
        return Objection("it was a replay: nothing of it was measured anew")
    if verdict in ("regressed", "unreliable"):
        return Objection(f"it is {verdict} against the baseline there is")
    if sample.infra > infra_ceiling * trials:
        share = f"{sample.infra} of {trials} trials came to nothing for reasons around the agent"
        return Objection(f"{share}, more than {100 * infra_ceiling:g} %")
    if "" in scenarios_of(sample.settings):
        cases |= sample.cases.keys()  # a plain plan is of all of them, whatever was cut
    if 2 * len(measured) < len(cases):
        return Objection(f"only {len(measured)} of {len(cases)} cases were measured")
    return None


def render(sample: Sample) -> str:
    """The text of a baseline's file: a key to a line, and a trial to a line."""
    head = msgspec.to_builtins(msgspec.structs.replace(sample, trials=[]))
    parts = [f"{_line('schema')}: {_line(sample.schema)}"]
    parts += [f"{_line(name)}: {_line(value)}" for name, value in head.items() if name != "schema"]
    trials = ",\n".join(_line(trial) for trial in sample.trials)
    return "{\n" + ",\n".join(parts) + f',\n"trials": [\n{trials}\n]\n}}\n'


def write_file(path: Path, sample: Sample) -> None:
    """Write a baseline's file, whole or not at all. Raises UsageError where that cannot be."""
    fresh = path.with_name(f"{path.name}.tmp")
    try:
        fresh.write_text(render(sample), "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise UsageError(
            f"cannot write the baseline to {path}: {error.strerror}. Give a place that is writable."
        ) from error


def _line(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


class _Marked(msgspec.Struct):
    """Any JSON object that says what it is."""

    schema: str = ""


def read_file(path: Path) -> Sample:
    """The baseline in a file. Raises UsageError for what is none, or not to be read here."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the baseline {path}: {error.strerror}") from error
    return parse(data, str(path))


def parse(data: bytes, name: str) -> Sample:
    """The sample in `data`; `name` says where it is from. Raises UsageError."""
    made = "make one with `proofrig baseline export`"
    try:
        schema = msgspec.json.decode(data, type=_Marked).schema
    except msgspec.ValidationError:
        schema = ""  # a list, a number, a `schema` that is no text: JSON, but not ours
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"expected a baseline in {name}, got {len(data):,} bytes that are no whole JSON: "
            f"{error}. It was cut off, or is another file; {made}."
        ) from error
    family, _, version = SCHEMA.partition("/")
    if schema.partition("/")[0] != family:
        seems = f"JSON of schema {schema!r}" if schema else "JSON without the schema of one"
        raise UsageError(f"expected a baseline in {name}, got {seems}; {made}")
    if schema != SCHEMA:
        raise UsageError(
            f"the baseline in {name} has the schema {schema!r}; this proofrig reads version "
            f"{version}. Use the proofrig that wrote it, or export it again with this one."
        )
    try:
        sample = msgspec.json.decode(data, type=Sample)
    except msgspec.ValidationError as error:
        raise UsageError(f"the baseline in {name} was changed: {error}; {made}") from error
    count = len(sample.runs)
    if not count or any(not 0 <= trial.run < count for trial in sample.trials):
        raise UsageError(
            f"the baseline in {name} was changed: expected `runs` to name the run of every trial, "
            f"got {count}; {made}"
        )
    return sample
