"""Checks: what must hold between the parts of a suite, and between a suite and its files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from proofrig.errors import Problem
from proofrig.problems import Origin
from proofrig.suites.case import Case
from proofrig.suites.checks import check_cases, check_suite
from proofrig.suites.suite import Suite
from proofrig.yaml12 import parse

VERIFY = "verify: [{type: exact, value: x}]"


def of_cases(text: str, directory: Path, **more: Any) -> list[tuple[int, str]]:
    document = parse(text, "f")
    cases = [
        (Case.model_validate(value), Origin(document, (place,)))
        for place, value in enumerate(document.value)
    ]
    return told(check_cases(cases, directory, **more))


def of_suite(text: str, directory: Path) -> list[tuple[int, str]]:
    document = parse(f"suite: s\nagent: {{type: 'null'}}\n{text}", "f")
    return told(check_suite(Suite.model_validate(document.value), Origin(document), directory))


def told(problems: Any) -> list[tuple[int, str]]:
    found: list[Problem] = list(problems)
    return [(problem.line, problem.message) for problem in found]


def test_a_case_that_verifies_nothing_is_a_problem_unless_defaults_do(tmp_path: Path) -> None:
    text = "- {id: a, task: t}"
    (problem,) = of_cases(text, tmp_path)
    assert problem == (1, "the case verifies nothing, so every agent would pass it")
    assert of_cases(text, tmp_path, verified=True) == []


def test_a_reference_does_not_replace_a_verifier(tmp_path: Path) -> None:
    (problem,) = of_cases("- {id: a, task: t, reference: {answer: x}}", tmp_path)
    assert "verifies nothing" in problem[1]


def test_a_recording_is_there_and_lets_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "tape").mkdir()
    model = "model: {provider: recorded, cassette: "
    assert of_suite(f"{model}tape}}", tmp_path) == []
    (gone,) = of_suite(f"{model}tapes}}", tmp_path)
    assert gone == (3, "model: expected the folder of a recording, found no 'tapes'")
    (out,) = of_suite(f"{model}tape, mode: live}}", tmp_path)
    assert out[1].startswith("model: expected mode strict, got live")


def test_ids_are_unique(tmp_path: Path) -> None:
    text = "".join(f"- {{id: {id}, task: t, {VERIFY}}}\n" for id in ("a", "b", "a"))
    assert of_cases(text, tmp_path) == [(3, "the id 'a' is taken by f:1")]


def test_tenants_are_declared(tmp_path: Path) -> None:
    text = f"- {{id: a, task: t, tenant: acmee, {VERIFY}}}"
    assert of_cases(text, tmp_path, tenants=["acme"]) == [(1, "the tenant 'acmee' is not declared")]
    assert of_cases(text, tmp_path) == []


def test_placeholders_of_canaries_can_be_read(tmp_path: Path) -> None:
    text = (
        f"- {{id: a, task: 'say {{canary}}', {VERIFY}}}\n- {{id: b, task: '{{fact.x}}', {VERIFY}}}"
    )
    ((line, said),) = of_cases(text, tmp_path)
    assert line == 2 and "got {fact.x}" in said
    services = (
        "tenants: {acme: 1}\nservices:\n- {type: kv, name: m, seed: {acme: {k: '{canary.k}'}}}"
    )
    ((line, said),) = of_suite(services, tmp_path)
    assert line == 5 and said.startswith("services[0]: ") and "got {canary.k}" in said


def test_servers_of_references_are_declared(tmp_path: Path) -> None:
    text = (
        f"- id: a\n  task: t\n  {VERIFY}\n  reference:\n    calls: [{{server: ordrs, tool: x}}]\n"
    )
    assert of_cases(text, tmp_path, servers=["orders"]) == [
        (5, "reference.calls[0]: there is no MCP server 'ordrs' under tools")
    ]
    assert of_cases(text, tmp_path) == []


def test_verifiers_of_the_world_need_one(tmp_path: Path) -> None:
    text = "- {id: a, task: t, verify: [{type: file_state, files: {f: {}}}]}"
    assert of_cases(text, tmp_path) == [(1, "verify[0] reads the world, and the case has none")]
    assert of_cases(text[:-1] + ", world: {}}", tmp_path) == []


def test_verifiers_read_what_the_case_has(tmp_path: Path) -> None:
    def said(world: str, *verifiers: str) -> list[str]:
        text = f"- {{id: a, task: t, world: {world}, verify: [{', '.join(verifiers)}]}}"
        return [message for _, message in of_cases(text, tmp_path)]

    file, state = "{type: file_state, files: {f: {}}}", "{type: json_subset, of: state, value: {}}"
    either = '{type: python, target: "checks:fine"}'
    assert said("{state: {}}", file, state, either) == [
        "verify[0] reads a folder of the world, and the case has none"
    ]
    assert said("{}", file, state, either) == ["verify[1] reads the state, and the case has none"]
    assert said("{state: {}, files: {f: x}}", file, state, either) == []
    assert said("null", state) == ["verify[0] reads the state, and the case has none"]
    assert said("null", either) == []  # the suite's own code may read the answer alone


def test_files_of_worlds_are_there(tmp_path: Path) -> None:
    text = f"""\
- id: a
  task: t
  {VERIFY}
  world:
    files_from: seed
    databases:
      a.db:
        - create table t (a)
        - schema.sql
"""
    assert of_cases(text, tmp_path) == [
        (5, f"there is no folder 'seed' in {tmp_path}"),
        (9, f"there is no file 'schema.sql' in {tmp_path}"),
    ]
    (tmp_path / "seed").mkdir()
    (tmp_path / "schema.sql").write_text("")
    assert of_cases(text, tmp_path) == []
    os.symlink("/etc/passwd", tmp_path / "seed" / "link")
    assert of_cases(text, tmp_path) == [
        (5, "links are not copied into a world, got 'seed/link'; put the file there")
    ]


def test_files_of_verifiers_are_there_and_inside(tmp_path: Path) -> None:
    text = """\
- id: a
  task: t
  world: {}
  verify:
    - type: file_state
      files: {f: {equals_file: want.txt}}
    - {type: json_schema, schema: ../schema.json}
    - {type: json_schema, schema: {type: object}}
    - {type: sql_state, database: a.db, after: after.sql}
    - {type: sql_state, database: a.db, after: delete from t}
"""
    assert of_cases(text, tmp_path) == [
        (6, f"there is no file 'want.txt' in {tmp_path}"),
        (7, "expected a file inside the suite's folder, got '../schema.json'"),
        (9, f"there is no file 'after.sql' in {tmp_path}"),
    ]


def test_what_a_script_or_a_price_table_says_is_checked(tmp_path: Path) -> None:
    text = "model: {provider: simulated, script: model.yaml}\nprices: prices.yaml\n"
    assert of_suite(text, tmp_path) == [
        (3, f"model.script: there is no file 'model.yaml' in {tmp_path}"),
        (4, f"prices: there is no file 'prices.yaml' in {tmp_path}"),
    ]
    (tmp_path / "model.yaml").write_text("rules:\n  - sya: hi\n")
    (tmp_path / "prices.yaml").write_text("prices: {m: {input: 1}}\n")
    files = {problem.file for problem in check_problems(text, tmp_path)}
    assert files == {str(tmp_path / "model.yaml"), str(tmp_path / "prices.yaml")}


def check_problems(text: str, directory: Path) -> list[Problem]:
    document = parse(f"suite: s\nagent: {{type: 'null'}}\n{text}", "f")
    suite = Suite.model_validate(document.value)
    return list(check_suite(suite, Origin(document), directory))


def test_who_answers_is_told_of_rules_that_ask(tmp_path: Path) -> None:
    text = """policy:
  rules: [{name: big-refunds, ask: tool.refund}, {name: no-mail, deny: tool.mail}]
authority:
  approvals:
    - {rule: big-*, answer: approve}
    - {rule: big-refund, answer: approve}
    - {rule: no-mail}
    - {answer: approve}
"""
    said = "expected a glob on rules that ask, got"
    assert of_suite(text, tmp_path) == [
        (8, f"authority.approvals[1]: {said} 'big-refund'"),
        (9, f"authority.approvals[2]: {said} 'no-mail'"),
    ]


def test_tools_have_names_of_their_own(tmp_path: Path) -> None:
    text = "tools:\n" + "".join(
        f"  - {{type: mcp, name: {name}, url: 'http://x'}}\n" for name in ("a", "b", "a")
    )
    assert of_suite(text, tmp_path) == [(6, "tools[2]: the name 'a' is taken by tools[0]")]


SHARING = """
tenants: {acme: 1}
services:
  - {type: kv, name: memory}
  - {type: lock, name: memory}
  - {type: kv, name: files, seed: {"*": {a: 1}, acne: {a: 2}}}
topology: {files: {}}
tools: [{type: service, service: memry}]
"""


def test_what_agents_share_has_a_name_of_its_own_and_tools_name_what_is_there(
    tmp_path: Path,
) -> None:
    assert [said for _, said in of_suite(SHARING, tmp_path)] == [
        "services[1]: the name 'memory' is taken by services[0]",
        "services[2]: the name 'files' is taken by topology.files",
        "services[2].seed: the tenant 'acne' is not declared",
        "tools[0]: there is no service 'memry'",
    ]
