"""The constraint file: what production holds an agent to, in a format of its own, JSON or YAML.

    evaluation_config:
      constraints: {memory_limit_mb: 512, cpu_timeout_ms: 30000, max_retries: 3,
                    allowed_tools: [search, read_*], network_egress_limit_mb: 10}
      metrics: {track_resource_usage: true, track_retry_count: true}
      scoring: {success_weight: 0.7, efficiency_weight: 0.3, penalty_oom: 0.5, penalty_timeout: 0.2}

Rules:
1. It is taken as it is: every key of the format is known, any other is refused with what was
   probably meant. Every section, and every key of one, may be left out.
2. `constraints` hold beside the suite's own `limits`: whichever is stricter.
3. `metrics` and `scoring` are checked and kept with the run. The figures of `metrics` are measured
   in every run, whatever it says; no score is made from `scoring` yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from proofrig.errors import Problem, SuiteError
from proofrig.problems import Origin, problems_of, shown_path
from proofrig.suites.case import Settings
from proofrig.suites.limits import AnyMegabytes, Megabytes, ToolGlob, TrialLimits, Whole
from proofrig.yaml12 import parse

Amount = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Weight = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]


class Constraints(Settings):
    """What one trial may use."""

    memory_limit_mb: Megabytes | None = Field(default=None, description="As `limits.memory_mb`.")
    cpu_timeout_ms: Annotated[float, Field(strict=True, gt=0, le=86_400_000)] | None = Field(
        default=None, description="Processor time in milliseconds; as `limits.cpu_s`."
    )
    max_retries: Whole | None = Field(default=None, description="As `limits.retries`.")
    allowed_tools: tuple[ToolGlob, ...] | None = Field(
        default=None, description="As `limits.allowed_tools`."
    )
    network_egress_limit_mb: AnyMegabytes | None = Field(
        default=None, description="As `limits.egress_mb`."
    )

    def limits(self) -> TrialLimits:
        """The same as a suite writes it; what is not said is left out."""
        cpu_ms = self.cpu_timeout_ms
        return TrialLimits(
            memory_mb=self.memory_limit_mb,
            cpu_s=None if cpu_ms is None else cpu_ms / 1000,
            retries=self.max_retries,
            allowed_tools=self.allowed_tools,
            egress_mb=self.network_egress_limit_mb,
        )


class Metrics(Settings):
    """What is to be told of a run."""

    track_resource_usage: Flag = True
    track_tool_calls: Flag = True
    track_retry_count: Flag = True
    error_classification: Flag = True


class Scoring(Settings):
    """How success and efficiency are weighed into one score."""

    success_weight: Weight | None = None
    efficiency_weight: Weight | None = None
    penalty_oom: Amount | None = Field(default=None, description="Of a trial out of memory.")
    penalty_timeout: Amount | None = Field(default=None, description="Of a trial out of time.")


class EvaluationConfig(Settings):
    """The sections of a constraint file."""

    constraints: Constraints = Constraints()
    metrics: Metrics = Metrics()
    scoring: Scoring = Scoring()


class ConstraintSettings(Settings):
    """A constraint file."""

    evaluation_config: EvaluationConfig = Field(
        description="Its sections: constraints, metrics, scoring."
    )

    def limits(self) -> TrialLimits:
        """What it holds every trial to."""
        return self.evaluation_config.constraints.limits()


def read_constraints(path: Path) -> ConstraintSettings:
    """A constraint file. Raises SuiteError with every problem."""
    file = shown_path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        said = f"expected a constraint file, got: {error.strerror}"
        raise SuiteError([Problem(said, file)]) from error
    if path.suffix == ".json":
        text = text.replace(b"\t", b" ")  # which JSON may indent with, and YAML may not
    document = parse(text, file)
    origin, value = Origin(document), document.value
    if not isinstance(value, Mapping):
        said = "expected a constraint file: a mapping with the key `evaluation_config`"
        raise SuiteError([origin.problem(said)])
    try:
        return ConstraintSettings.model_validate(value)
    except ValidationError as error:
        raise SuiteError(problems_of(error, _schema(), value, origin)) from error


@cache
def _schema() -> dict[str, Any]:
    return TypeAdapter(ConstraintSettings).json_schema()
