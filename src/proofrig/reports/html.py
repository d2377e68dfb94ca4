"""The HTML report: one file that needs nothing else, verdict first.

Rules:
1. The page fetches nothing: styles, drawings, data and script are inside it, and its content
   security policy forbids the rest.
2. All text is escaped by the template; the script only ever sets text, never markup.
3. At most 1 MB per 1,000 trials; what had to stay out is said on the page.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from markupsafe import Markup

from proofrig.places import run_name
from proofrig.reports import (
    authority,
    charts,
    comparison,
    contention,
    effects_plot,
    faults,
    gates,
    reading,
    resources,
    taping,
    words,
)
from proofrig.reports.embedding import embed
from proofrig.reports.page import read, template
from proofrig.reports.report import RunReport
from proofrig.results import UNMEASURED, case_of

_PLACE = "\0DATA\0"
_MANIFEST_CHARACTERS = 40_000
_CAPS = 40
_FLAKY = 16  # cases that are named


def render(report: RunReport) -> bytes:
    """The page, UTF-8."""
    page = _page(report, [], _PLACE)
    embedded = embed(report, len(page.encode()) + 1_000)
    page = _page(report, embedded.left_out, _PLACE)
    head, _, tail = page.partition(_PLACE)
    return f"{head}{embedded.json}{tail}".encode()


def _page(report: RunReport, left_out: list[str], data: str) -> str:
    overall = report.summary.overall
    return template("report.html").render(
        report=report,
        show=f"proofrig show {run_name(report.run_dir)}",
        overall=overall,
        verdict=reading.verdict_of(report),
        cautions=[*report.cuts, *reading.cautions(report)],
        worst=reading.worst_first(reading.cases_of(report))[:5],
        flaky=reading.flaky_of(report),
        FLAKY=_FLAKY,
        why=reading.why,
        markers=charts.markers(overall, report.gates),
        trends=charts.trends(report.trend, report.run, report.summary.scenarios),
        contention=contention,
        scenarios=report.summary.scenarios,
        figures={one.name: contention.figures_of(one) for one in report.summary.scenarios},
        sequential=contention.sequential_of(report),
        kinds=contention.kinds_of(report),
        caps=contention.caps_of(report.summary.scenarios)[:_CAPS],
        reproduce=reading.reproduce,
        scenario_of=reading.scenario_of,
        trials={row.trial for row in report.rows},
        classes=_classes(report),
        groups=_groups(report),
        facts=_facts(report),
        manifest=_manifest(report),
        left_out=left_out,
        baseline=reading.baseline,
        words=words,
        chart=charts,
        faults=faults,
        injected=faults.faults_of(report),
        resources=resources,
        used=resources.lines(report),
        comparison=comparison,
        gates=gates,
        held=report.comparison,
        plot=effects_plot,
        case_ids={row.case for row in report.rows if row.role == "subject"},
        rulings=report.summary.authority,
        authority=authority,
        case_of=case_of,
        css=read(*_styles(report)),
        js=read("report.js", "timeline.js"),
        data=Markup(data),
    )


def _styles(report: RunReport) -> list[str]:
    """The style sheets that this page needs."""
    summary = report.summary
    found = ["report.css"]
    if summary.scenarios or contention.found_besides(report):
        found.append("contention.css")
    found += ["comparison.css"] if report.comparison is not None else []
    found += ["faults.css"] if faults.faults_of(report) else []
    return found + (["authority.css"] if summary.authority is not None else [])


def _classes(report: RunReport) -> list[dict[str, Any]]:
    """The parts of the outcome bar: passed, then each class of failure that occurred."""
    overall = report.summary.overall
    counts = [("passed", overall.passed, "every verifier passed")]
    counts += [
        (name, overall.failures.get(name, 0), reading.MEANING[name]) for name in reading.FAILURES
    ]
    return [
        {
            "name": name,
            "count": count,
            "share": count / overall.trials,
            "meaning": meaning,
            "measured": name not in UNMEASURED,
        }
        for name, count, meaning in counts
        if count
    ]


def _groups(report: RunReport) -> list[tuple[str, list[Any]]]:
    groups = [
        ("Difficulty", report.summary.by_difficulty),
        ("Tag", sorted(report.summary.by_tag, key=lambda score: score.name)[:100]),
    ]
    return [(title, list(scores)) for title, scores in groups if scores]


def _facts(report: RunReport) -> list[tuple[str, str]]:
    """The manifest's main facts, in words."""
    manifest, where = report.manifest, report.manifest.get("where", {})
    what = manifest.get("what", {})
    memory = where.get("memory_bytes")
    facts = [
        ("Run", report.run),
        ("Suite", str(manifest.get("suite_path", ""))),
        ("Suite digest", str(what.get("suite_digest", ""))[:16]),
        ("Agent", _short(what.get("agent"))),
        ("Model", _short(what.get("model"))),
        ("Repeats", str(manifest.get("repeats", ""))),
        ("Concurrency", str(manifest.get("concurrency", ""))),
        ("Seed", str(manifest.get("seed", ""))),
        ("Isolation", str(what.get("isolation", ""))),
        ("Redirection", str(what.get("redirection", ""))),
        ("CPU", " × ".join(str(where[k]) for k in ("cpus", "cpu") if where.get(k))),
        ("Memory", f"{memory / 2**30:.1f} GiB" if memory else ""),
        ("Kernel", " ".join(str(where[k]) for k in ("system", "kernel") if where.get(k))),
        ("Python", str(where.get("python", ""))),
        ("proofrig", str(where.get("versions", {}).get("proofrig", ""))),
        ("Started", started(report)),
        ("Took", words.duration(report.duration_ns)),
        ("Recording", taping.said(report)),
    ]
    return [(name, words.clean(value)) for name, value in facts if value]


def _short(value: Any) -> str:
    """A setting on one line: `python · agent:run`, the text of its scalar parts."""
    if isinstance(value, dict):
        parts = [str(part) for part in value.values() if isinstance(part, str | int) and part]
        return words.line(" · ".join(parts), 100)
    return "" if value is None else words.line(str(value), 100)


def started(report: RunReport) -> str:
    """When the run started, UTC."""
    at = report.manifest.get("started_ns", 0)
    return f"{datetime.fromtimestamp(at / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC" if at else ""


def _manifest(report: RunReport) -> str:
    text = msgspec.json.format(msgspec.json.encode(report.manifest), indent=2).decode()
    return words.cut(text, _MANIFEST_CHARACTERS)
