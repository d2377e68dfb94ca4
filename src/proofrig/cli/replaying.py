"""What `proofrig run --replay` means: which recording, and the conditions it was made under."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofrig.errors import UsageError

if TYPE_CHECKING:
    from proofrig.conclusion import Options

# What a run was asked for beside its suite, which a replay of it is asked for too.
_SAME = ("repeats", "concurrency", "seed", "agents", "tenants")


def replayed(options: Options, run: str, asked: dict[str, Any]) -> Options:
    """The options of a replay of `run`: a run, or the folder of a cassette. What they leave open is
    as it was in that run. asked: `mode`, `timing`, `tools`. Raises UsageError."""
    from proofrig.providers.recorded import RecordedSettings

    if options.scenarios:
        raise UsageError("--replay replays a plain run; leave --scenario out")
    cassette, options = _cassette(options, run)
    try:
        settings = RecordedSettings(cassette=str(cassette.absolute()), **asked)
    except ValueError:  # the modes and the tools are choices of the command line
        raise UsageError(
            f"--timing: expected instant, recorded, or a factor such as 0.5, got {asked['timing']}"
        ) from None
    return replace(options, replay=settings)


def folder_of_cassette(run: str, options: Options) -> Path:
    """The folder of the cassette that `run` names: its own, or that of a run. Raises UsageError."""
    from proofrig.cassettes.manifest import EXCHANGES
    from proofrig.cli.options import find_run
    from proofrig.trials.taped import cassette_of

    if (Path(run) / EXCHANGES).is_file():
        return Path(run)
    run_dir = _last_recorded(options) if run == "last" else find_run(run, options)
    found = cassette_of(run_dir)
    if not (found / EXCHANGES).is_file():
        raise UsageError(
            f"run {run_dir.name} was not recorded; `proofrig record SUITE` runs a suite and records"
        )
    return found


def _last_recorded(options: Options) -> Path:
    from proofrig.trials.rundir import runs_below
    from proofrig.trials.taped import cassette_of

    recorded = [path for path in runs_below(options.root) if cassette_of(path).is_dir()]
    if not recorded:
        raise UsageError(
            f"no run below {options.root} was recorded; `proofrig record SUITE` records one"
        )
    return recorded[-1]


def _cassette(options: Options, run: str) -> tuple[Path, Options]:
    from proofrig.trials import manifest as manifests

    found = folder_of_cassette(run, options)
    if not (found.parent / manifests.FILE).is_file():
        return found, _as_in_cassette(found, options)
    was = manifests.read(found.parent)
    given = {key: getattr(options, key) for key in _SAME if getattr(options, key) is not None}
    same = {key: getattr(was, key) for key in _SAME} | given
    return found, replace(
        options,
        **same,
        only=options.only or tuple(was.only),
        packs=options.packs or tuple(was.packs),
        faultless=options.faultless or was.faultless,
        constraints=options.constraints or _file(was.constraints_from),
        baselines=options.baselines is not False and was.baselines,
    )


def _file(name: str) -> Path | None:
    return Path(name) if name else None


def _as_in_cassette(cassette: Path, options: Options) -> Options:
    from proofrig.cassettes.manifest import read

    seed = read(cassette).seed
    return options if options.seed is not None else replace(options, seed=seed)
