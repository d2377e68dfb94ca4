"""Every vector computed with an independent library is reproduced, or said not to be built.

A vector's id is matched by exactly one pattern of CALLS or NOT_BUILT. What a call returns is
compared with all that the vector expects, but for the figures in LEFT_OUT.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

import pytest

from vectors import FILE

Inputs = dict[str, Any]
Found = dict[str, Any]
VECTORS = json.loads(FILE.read_text())["vectors"]


def stat(name: str, *arguments: Any, **options: Any) -> Any:
    module, function = name.split(".")
    return getattr(import_module(f"proofrig.stats.{module}"), function)(*arguments, **options)


def ends(interval: Any) -> Found:
    return {"low": interval.low, "high": interval.high}


def proportion(name: str) -> Callable[[Inputs], Found]:
    return lambda i: ends(stat(f"intervals.{name}", i["successes"], i["n"], i["confidence"]))


def pass_k(name: str) -> Callable[[Inputs], Found]:
    return lambda i: {name: stat(f"repeats.{name}", i["trials"], i["successes"], i["k"])}


def suite_pass_hat(i: Inputs) -> Found:
    counts = [(i["trials_per_case"], passed) for passed in i["successes"]]
    return {
        "mean": stat("repeats.over_cases", counts, i["k"])[1],
        "se": stat("repeats.standard_errors", counts, i["k"])[1],
    }


def clustered_se(*, correct: bool) -> Callable[[Inputs], Found]:
    def call(i: Inputs) -> Found:
        cases = i["outcomes_by_case"]
        found = {
            "mean": stat("intervals.clustered_wilson", cases).estimate,
            "se": stat("intervals.clustered_se", cases, correct=correct),
        }
        if correct:  # with equal repeats the case means carry it all
            means = [sum(c) / len(c) for c in cases]
            found |= ends(stat("paired.paired_t", [0.0] * len(means), means).difference)
        return found

    return call


def variance_split(i: Inputs) -> Found:
    found = stat("variance.split", i["outcomes_by_case"])
    return {"icc": found.icc, "design_effect": found.design_effect}


def differences(i: Inputs) -> list[float]:
    return [c - b for b, c in zip(i["base_case_means"], i["cand_case_means"], strict=True)]


def paired_t(i: Inputs) -> Found:
    means = i["base_case_means"], i["cand_case_means"]
    found = stat("paired.paired_t", *means, alternative=i["alternative"])
    interval = found.difference
    return {
        **{"mean_diff": interval.estimate, "se": found.se, "t": found.t, "p": found.p},
        **{"ci_low": interval.low, "ci_high": interval.high},
    }


def sign_flip(i: Inputs) -> Found:
    return {"p": stat("paired.sign_flip", differences(i), alternative=i["alternative"]).p}


def mcnemar(i: Inputs) -> Found:
    (_, b), (c, _) = i["table"]
    found = stat("paired.mcnemar", b, c, "two-sided")
    return {"p_exact": found.p, "p_mid": found.mid_p}


def arms(i: Inputs) -> list[list[tuple[int, int]]]:
    return [[(i["trials"], x) for x in i[f"{arm}_successes"]] for arm in ("base", "cand")]


def cmh(i: Inputs) -> Found:
    found = stat("paired.cmh", *arms(i))
    return {
        **{"chi2": found.chi2, "p_two_sided": found.p, "odds_ratio_mh": found.odds_ratio},
        **{"chi2_cc": found.chi2_corrected, "p_cc": found.p_corrected},
    }


def stratified_exact(i: Inputs) -> Found:
    found = stat("paired.stratified_exact", *arms(i), alternative=i["alternative"])
    return {"p": found.p, "p_mid": found.mid_p}


def cluster_bootstrap(method: str) -> Callable[[Inputs], Found]:
    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return lambda i: ends(
        stat(
            "bootstrap.cluster_bootstrap",
            i["per_case_diffs"],
            mean,
            **{"confidence": i["confidence"], "draws": 4000, "method": method},
        )
    )


def newcombe(i: Inputs) -> Found:
    one, other = (stat("intervals.wilson", *i[arm], i["confidence"]) for arm in ("cand", "base"))
    return ends(stat("intervals.difference", one, other))


def fisher(i: Inputs) -> Found:
    now, base = ((sum(row), row[0]) for row in i["table"])
    return {"p": stat("per_case.fisher_less", base, now)}


def adjusted(name: str) -> Callable[[Inputs], Found]:
    def call(i: Inputs) -> Found:
        p = stat(f"multiple.{name}", i["p"])
        return {"adjusted": p, "reject": [one <= i["alpha"] for one in p]}

    return call


def miller_suite(i: Inputs) -> Any:
    return stat(
        "power.Suite",
        **{name: i[name] for name in ("omega2", "sigma2_a", "sigma2_b")},
        **{"k_a": i["K_a"], "k_b": i["K_b"]},
    )


def miller(name: str, result: str, given: str) -> Callable[[Inputs], Found]:
    def call(i: Inputs) -> Found:
        options = {option: i[option] for option in ("alpha", "power", "two_sided")}
        return {result: stat(f"power.{name}", miller_suite(i), i[given], **options)}

    return call


def e_value(i: Inputs) -> Found:
    passed, n = sum(i["outcomes"]), len(i["outcomes"])
    a, b = i["prior"]
    return {"e_value": stat("sequential.e_value", passed, n, i["p0"], a=a, b=b)}


def confidence_sequence(i: Inputs) -> Found:
    passed, n = sum(i["outcomes"]), len(i["outcomes"])
    return ends(stat("sequential.confidence_sequence", passed, n, i["alpha"]))


def sprt_bounds(i: Inputs) -> Found:
    low, high = stat("sequential.sprt_bounds", i["alpha"], i["beta"])
    return {"log_lower": low, "log_upper": high}


def group_sequential(kind: str) -> Callable[[Inputs], Found]:
    return lambda i: {
        "z": stat("sequential.constant_bounds", kind, i["looks"], i["alpha_one_sided"])
    }


def quantile_ranks(i: Inputs) -> Found:
    low, high = stat("tails.quantile_ranks", i["n"], i["p"], i["confidence"])
    return {"low_rank": low, "high_rank": -1 if high is None else high}


def harrell_davis(i: Inputs) -> Found:
    found = [stat("tails.harrell_davis", sorted(i["sample"]), q) for q in i["p"]]
    return {"quantile": [one.quantile for one in found], "se": [one.se for one in found]}


def quantile(i: Inputs) -> Found:
    return {"quantile": [stat("tails.quantile", sorted(i["sample"]), q) for q in i["p"]]}


def drift(i: Inputs) -> Found:
    passed, failed = i["table"]
    return {"p": stat("flaky.drift", [(x + y, x) for x, y in zip(passed, failed, strict=True)])}


def theil_sen(i: Inputs) -> Found:
    found = stat("trend.theil_sen", i["y"])
    return {"slope": found.estimate, **ends(found)}


def mann_kendall(i: Inputs) -> Found:
    found = stat("trend.mann_kendall", i["y"])
    return {"tau": found.tau, "p": found.p}


def pelt(i: Inputs) -> Found:
    found = stat("trend.change_points", i["y"], i["penalty"])
    return {"breakpoints": [*found, len(i["y"])]}  # theirs end with the end


def tost_two_prop(i: Inputs) -> Found:
    return {"p": stat("equivalence.tost_two_proportions", *i["a"], *i["b"], i["margin"])}


def tost_paired(i: Inputs) -> Found:
    return {"p": stat("equivalence.tost_paired", i["base"], i["cand"], i["low"], i["high"])}


CALLS: dict[str, Callable[[Inputs], Found]] = {
    "ci_wilson_[0-9]*": proportion("wilson"),
    "ci_clopper_pearson_*": proportion("clopper_pearson"),
    "ci_jeffreys_*": proportion("jeffreys"),
    "zero_failures_upper_60": lambda i: {
        "high": stat("intervals.none_seen", i["n"], i["confidence"])
    },
    "pass_hat_k_*": pass_k("pass_hat_k"),
    "pass_at_k_*": pass_k("pass_at_k"),
    "suite_pass_hat_*": suite_pass_hat,
    "clustered_se_cr0": clustered_se(correct=False),
    "clustered_se_cr1": clustered_se(correct=True),
    "clustered_se_unequal": clustered_se(correct=False),
    "icc1_trials": variance_split,
    "paired_t": paired_t,
    "paired_signflip_exact*": sign_flip,
    "mcnemar_*": mcnemar,
    "cmh_by_case": cmh,
    "stratified_exact_by_case": stratified_exact,
    "cluster_bootstrap_percentile": cluster_bootstrap("percentile"),
    "cluster_bootstrap_bca": cluster_bootstrap("bca"),
    "newcombe_diff": newcombe,
    "fisher_case_*": fisher,
    "multitest_bonferroni": adjusted("bonferroni"),
    "multitest_holm": adjusted("holm"),
    "multitest_fdr_bh": adjusted("benjamini_hochberg"),
    "miller_n_*": miller("required_cases", "n", "delta"),
    "miller_mde": miller("minimum_detectable_effect", "mde", "n"),
    "evalue_beta_mixture": e_value,
    "confseq_beta_mixture": confidence_sequence,
    "sprt_bounds": sprt_bounds,
    "sprt_llr": lambda i: {
        "llr": stat("sequential.sprt", i["successes"], i["n"], i["p0"], i["p1"]).log_ratio
    },
    "group_sequential_pocock_*": group_sequential("pocock"),
    "group_sequential_obf_*": group_sequential("obf"),
    "quantile_ci_rank_*": quantile_ranks,
    "quantile_linear": quantile,
    "harrell_davis": harrell_davis,
    "theil_sen": theil_sen,
    "mann_kendall": mann_kendall,
    "pelt_change": pelt,
    "chi2_homogeneity_flat": drift,
    "flaky_chi2_across_runs": drift,
    "runs_needed_to_see_flake": lambda i: {
        "n": stat("flaky.runs_to_see", i["flake_rate"], i["confidence"])
    },
    "bernoulli_outcome_consistency": lambda i: {
        "consistency": stat("flaky.consistency", i["successes"], i["k"]),
        "disagreement": stat("flaky.disagreement", i["successes"], i["k"]),
    },
    "tost_two_prop": tost_two_prop,
    "tost_paired": tost_paired,
}

NOT_BUILT = {
    "ci_agresti_coull_*": "superseded",
    "ci_wilson_cc_*": "superseded",
    "naive_se_trials": "misleading",
    "binom_exact_p_*": "unneeded",
    "wilcoxon_signed_rank": "superseded",
    "two_prop_z": "unpaired",
    "miettinen_nurminen_diff": "unpaired",
    "boschloo_case_history": "slow",
    "cohens_h": "unpaired",
    "two_prop_n_*": "unpaired",
    "paired_t_n": "superseded",
    "paired_t_power": "superseded",
    "multitest_hommel": "superseded",
    "multitest_simes-hochberg": "dependence",
    "multitest_fdr_by": "conservative",
    "combine_*": "unneeded",
    "beta_uniform_*": "prior",
    "prob_cand_worse": "prior",
    "betabinom_predictive": "prior",
    "mann_whitney": "unpaired",
    "cochran_armitage_flat": "unneeded",
    "cohens_kappa": "judges",
    "fleiss_kappa": "judges",
    "krippendorff_alpha": "judges",
    "rogan_gladen": "judges",
    "bradley_terry": "judges",
}

LEFT_OUT = {
    "mcnemar_*": {"chi2_cc", "p_cc", "chi2", "p"},  # the exact ones are there
    "chi2_homogeneity_flat": {"chi2", "dof"},
    "flaky_chi2_across_runs": {"chi2"},
}

ROUNDED_UP = {"runs_needed_to_see_flake"}  # whole runs


def matching(identity: str, patterns: Any) -> list[str]:
    return [pattern for pattern in patterns if fnmatchcase(identity, pattern)]


def reproduced() -> list[Any]:
    return [pytest.param(v, id=v["id"]) for v in VECTORS if matching(v["id"], CALLS)]


@pytest.mark.parametrize("vector", reproduced())
def test_it_is_reproduced(vector: dict[str, Any]) -> None:
    identity, expected = vector["id"], dict(vector["expected"])
    for pattern in matching(identity, LEFT_OUT):
        for figure in LEFT_OUT[pattern]:
            del expected[figure]
    if identity in ROUNDED_UP:
        expected = {name: math.ceil(value) for name, value in expected.items()}
    found = CALLS[matching(identity, CALLS)[0]](vector["inputs"])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=vector["abs_tol"]), name


def test_every_vector_is_reproduced_or_said_not_to_be_built() -> None:
    wrong = {
        v["id"]: found
        for v in VECTORS
        if len(found := matching(v["id"], CALLS) + matching(v["id"], NOT_BUILT)) != 1
    }
    assert wrong == {}


@pytest.mark.parametrize("patterns", [CALLS, NOT_BUILT, LEFT_OUT], ids=["calls", "not", "left"])
def test_no_pattern_is_idle(patterns: dict[str, Any]) -> None:
    assert [p for p in patterns if not any(fnmatchcase(v["id"], p) for v in VECTORS)] == []
