"""The policy file: its format, and reading it with all of its problems.

Rules:
1. A policy is YAML 1.2 or JSON. Unknown keys, operators and names are refused with what was
   probably meant; all problems of a file are gathered, each with its place.
2. A rule has a name of its own and exactly one effect. Every condition it names must hold.
3. What a rule refers to (a tier, a step, a taint) is declared in the same policy.
4. The JSON Schema of the format is made from these models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from proofrig.authority.conditions import operand_problem
from proofrig.authority.expressions import expression_problem
from proofrig.authority.globs import glob_problem
from proofrig.authority.limits import Budget, scope_problem
from proofrig.authority.paths import path_glob_problem
from proofrig.errors import Problem, SuiteError
from proofrig.problems import Origin, problems_of, shown_path
from proofrig.yaml12 import Document, parse

M = TypeVar("M", bound=BaseModel)

EFFECTS = ("deny", "ask", "allow")
DEFAULT_WAIT_S = 30.0
BY_DEFAULT = "default"  # what stands for the default where the name of a rule is expected


def _refusing(problem: Any) -> AfterValidator:
    def check(value: Any) -> Any:
        if said := problem(value):
            raise ValueError(said)
        return value

    return AfterValidator(check)


def _operand(operator: str) -> AfterValidator:
    return _refusing(lambda value: operand_problem(operator, value))


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _compared(value: Any) -> Any:
    """The short forms: a list means `in`, a scalar `==`."""
    if isinstance(value, Mapping | Comparison):
        return value
    return {"in": value} if isinstance(value, list | tuple) else {"==": value}


Glob = Annotated[str, _refusing(glob_problem)]
PathGlob = Annotated[str, _refusing(path_glob_problem)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
ScopePattern = Annotated[str, _refusing(scope_problem)]
ScopeName = Annotated[str, Field(pattern=r"^@[A-Za-z0-9._-]+$")]

_SEVERAL: dict[str, Any] = {"json_schema_input_type": str | list[str]}
Globs = Annotated[tuple[Glob, ...], Field(min_length=1), BeforeValidator(_listed, **_SEVERAL)]
PathGlobs = Annotated[
    tuple[PathGlob, ...], Field(min_length=1), BeforeValidator(_listed, **_SEVERAL)
]
Names = Annotated[tuple[Name, ...], Field(min_length=1), BeforeValidator(_listed, **_SEVERAL)]

_SCALAR: dict[str, Any] = {"type": ["string", "number", "boolean"]}
_ORDERED: dict[str, Any] = {"type": ["string", "number"]}
_SCALARS: dict[str, Any] = {"type": "array", "items": _SCALAR, "minItems": 1}

_Scalar = str | float | bool


class Settings(BaseModel):
    """Base of what a policy is written in: unknown keys are refused, values are fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Comparison(Settings):
    """Operators, all of which must hold."""

    equal: Annotated[Any, _operand("=="), WithJsonSchema(_SCALAR)] = Field(default=None, alias="==")
    other: Annotated[Any, _operand("!="), WithJsonSchema(_SCALAR)] = Field(default=None, alias="!=")
    below: Annotated[Any, _operand("<"), WithJsonSchema(_ORDERED)] = Field(default=None, alias="<")
    at_most: Annotated[Any, _operand("<="), WithJsonSchema(_ORDERED)] = Field(
        default=None, alias="<="
    )
    above: Annotated[Any, _operand(">"), WithJsonSchema(_ORDERED)] = Field(default=None, alias=">")
    at_least: Annotated[Any, _operand(">="), WithJsonSchema(_ORDERED)] = Field(
        default=None, alias=">="
    )
    one_of: Annotated[Any, _operand("in"), WithJsonSchema(_SCALARS)] = Field(
        default=None, alias="in"
    )
    not_in: Annotated[Any, _operand("not_in"), WithJsonSchema(_SCALARS)] = Field(default=None)
    matches: Annotated[Any, _operand("matches"), WithJsonSchema({"type": "string"})] = Field(
        default=None,
        description="A regex: found anywhere in the text to deny or ask, all of it to allow.",
    )
    contains: Annotated[Any, _operand("contains"), WithJsonSchema(_SCALAR)] = Field(
        default=None, description="A part of a text, or an element of a list."
    )

    def operators(self) -> dict[str, Any]:
        """Operator -> operand, as written."""
        fields = type(self).model_fields
        said = {fields[name].alias or name: operand for name, operand in self}
        return {operator: operand for operator, operand in said.items() if operand is not None}


Compared = Annotated[
    Comparison,
    BeforeValidator(_compared, json_schema_input_type=Comparison | _Scalar | list[_Scalar]),
    _refusing(lambda value: "" if value.operators() else "expected an operator, got none"),
]


class CapSettings(Settings):
    """How often a rule lets something through."""

    calls: int = Field(ge=0, le=2**53 - 1, strict=True)
    per: Annotated[str, Field(pattern=r"^(run|agent|workflow|tenant|@[A-Za-z0-9._-]+)$")] = Field(
        default="run", description="run, agent, workflow, tenant or a scope: @name."
    )
    every: Literal["minute", "hour", "day"] | None = Field(
        default=None, description="In any such time; default: ever."
    )


class RuleSettings(Settings):
    """One rule. What is not named is not asked for."""

    name: Name = Field(description="Unique; denials and reports name it.")
    deny: Globs | None = Field(default=None, description="Globs on action names.")
    ask: Globs | None = Field(default=None, description="Globs on action names.")
    allow: Globs | None = Field(default=None, description="Globs on action names.")
    tenants: Globs | None = None
    workflows: Globs | None = None
    agents: Globs | None = None
    below: Name | None = Field(default=None, description="Runs of a lower tier, or of none.")
    step: Names | None = Field(default=None, description="Runs that stand at one of these steps.")
    tainted: bool | Name | None = Field(
        default=None, description="Runs tainted with this label; true: any; false: none."
    )
    when: dict[str, Compared] | None = Field(
        default=None, min_length=1, description="Argument -> comparison; dots go into objects."
    )
    paths: dict[str, PathGlobs] | None = Field(
        default=None, min_length=1, description="Argument -> path globs."
    )
    cel: Annotated[str, _refusing(expression_problem)] | None = Field(
        default=None, description="CEL over args, run, action and scope; read when the rest holds."
    )
    cap: CapSettings | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=2**53 - 1, strict=True)
    wait_s: float | None = Field(
        default=None, ge=0, le=86_400, strict=True, description="On ask; default: 30."
    )
    fix: str = Field(default="", description="What to do instead, for who is denied.")

    @property
    def effect(self) -> Literal["deny", "ask", "allow"]:
        return "deny" if self.deny else "ask" if self.ask else "allow"

    @property
    def names(self) -> tuple[str, ...]:
        """The globs on action names, whatever the effect."""
        return self.deny or self.ask or self.allow or ()


class StepSettings(Settings):
    """A step of a workflow."""

    name: Name
    after: Globs | None = Field(
        default=None,
        description="The step begins when such an action, done in the one before, "
        "has ended ok; the first step has none.",
    )


Risk = Literal["read_only", "local_mutation", "side_effect", "external_side_effect", "high_risk"]


RISKS: tuple[Risk, ...] = get_args(Risk)


class PolicySettings(Settings):
    """Rules, limits and what they refer to. Deny wins over ask, ask over allow."""

    default: Literal["allow", "deny", "strict"] = Field(
        default="allow",
        description="What no rule decides; strict: denied when it has a side effect.",
    )
    risk: dict[Glob, Risk] = Field(default={}, description="Glob on action names -> class.")
    tiers: dict[Name, Globs] = Field(
        default={}, description="Lowest first: tier -> globs on agent names."
    )
    steps: tuple[StepSettings, ...] = ()
    taint: dict[Glob, Name] = Field(
        default={},
        description="Glob on action names -> the label such an action taints its run with.",
    )
    scopes: dict[ScopeName, Globs] = Field(
        default={}, description="@name -> globs on the names of actions booked there too."
    )
    limits: dict[ScopePattern, Budget] = Field(
        default={}, description="Scope pattern -> what each such scope may use."
    )
    rules: tuple[RuleSettings, ...] = ()


# ---- reading


def read_policy(path: Path) -> PolicySettings:
    """The policy in a YAML or JSON file. Raises SuiteError with every problem."""
    try:
        text = path.read_bytes()
    except OSError as error:
        said = f"expected a policy file, got: {error.strerror}"
        raise SuiteError([Problem(said, shown_path(path))]) from error
    return settings_of(parse(text, shown_path(path)))


def settings_of(document: Document) -> PolicySettings:
    """The policy in a document. Raises SuiteError with every problem."""
    origin, value = Origin(document), document.value
    if not isinstance(value, Mapping):
        said = "expected a policy: a mapping with keys such as rules, limits and default"
        raise SuiteError([origin.problem(said)])
    problems: list[Problem] = []
    top = _valid(PolicySettings, {k: v for k, v in value.items() if k != "rules"}, origin, problems)
    written = value.get("rules", [])
    if not isinstance(written, list | tuple):
        problems.append(origin.problem("rules: expected a list of rules", ("rules",)))
        written = []
    rules = []
    for place, one in enumerate(written):
        at = Origin(document, ("rules", place), _label(one, place))
        rule = _valid(RuleSettings, one, at, problems)
        if rule is not None:
            rules.append((rule, at))
    if top is not None:
        problems += _checked(top, rules, origin)
    if problems or top is None:
        raise SuiteError(sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return top.model_copy(update={"rules": tuple(rule for rule, _ in rules)})


def check_policy(policy: PolicySettings, origin: Origin) -> list[Problem]:
    """What is wrong with a policy of valid parts that stands at `origin`."""
    rules = [
        (rule, Origin(origin.document, (*origin.path, "rules", place), f"rule {rule.name}"))
        for place, rule in enumerate(policy.rules)
    ]
    return list(_checked(policy, rules, origin))


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **PolicySettings.model_json_schema(mode="validation"),
        "title": "proofrig policy",
    }


def _valid(model: type[M], value: Any, origin: Origin, problems: list[Problem]) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems += problems_of(error, _schema(model), value, origin)
    return None


def _label(rule: Any, place: int) -> str:
    name = rule.get("name") if isinstance(rule, Mapping) else None
    return f"rule {name}" if isinstance(name, str) else f"rules[{place}]"


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return TypeAdapter(model).json_schema()


# ---- what parts that are valid alone must be together


def _checked(
    policy: PolicySettings, rules: Sequence[tuple[RuleSettings, Origin]], origin: Origin
) -> Iterable[Problem]:
    yield from _checked_steps(policy, origin)
    seen: set[str] = set()
    for rule, at in rules:
        if rule.name in seen or rule.name == BY_DEFAULT:
            said = f"expected a name of its own, got {rule.name!r}"
            again = " again" if rule.name in seen else ", which stands for no rule"
            yield at.problem(said + again, ("name",))
        seen.add(rule.name)
        yield from _checked_effect(rule, at)
        yield from _declared("tier", [rule.below], list(policy.tiers), at, "below")
        steps = [step.name for step in policy.steps]
        yield from _declared("step", rule.step or (), steps, at, "step")
        labels = list(dict.fromkeys(policy.taint.values()))
        wanted = [rule.tainted] if isinstance(rule.tainted, str) else []
        yield from _declared("taint", wanted, labels, at, "tainted")


def _checked_steps(policy: PolicySettings, origin: Origin) -> Iterable[Problem]:
    names = [step.name for step in policy.steps]
    for place, step in enumerate(policy.steps):
        path = ("steps", place)
        if step.name in names[:place]:
            yield origin.problem(
                f"steps[{place}]: expected a name of its own, got {step.name!r}", path
            )
        if place and step.after is None:
            said = f"steps[{place}]: expected `after`, the action that leads to step {step.name}"
            yield origin.problem(said, path)
        if not place and step.after is not None:
            said = "steps[0]: expected no `after`: a run begins at its first step"
            yield origin.problem(said, (*path, "after"), key=True)


def _checked_effect(rule: RuleSettings, at: Origin) -> Iterable[Problem]:
    effects = [effect for effect in EFFECTS if getattr(rule, effect) is not None]
    if len(effects) != 1:
        got = " and ".join(effects) or "none"
        yield at.problem(f"expected one of deny, ask or allow; got {got}")
        return
    for key in ("cap", "max_tokens"):
        if rule.deny and getattr(rule, key) is not None:
            yield at.problem(f"expected {key} on ask or allow, got it on deny", (key,), key=True)
    if rule.wait_s is not None and not rule.ask:
        yield at.problem(f"expected wait_s on ask, got it on {effects[0]}", ("wait_s",), key=True)


def _declared(
    what: str, wanted: Iterable[str | None], known: list[str], at: Origin, key: str
) -> Iterable[Problem]:
    for name in wanted:
        if name is None or name in known:
            continue
        close = get_close_matches(name, known, n=1)
        meant = f"did you mean `{close[0]}`? " if close else ""
        hint = f"{meant}known: {', '.join(known) or 'none'}"
        yield at.problem(f"expected a {what} that is declared, got `{name}`", (key,), hint=hint)
