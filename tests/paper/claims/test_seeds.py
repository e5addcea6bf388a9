"""Ledgers of several seeds compared: what changes, and what turns into its opposite."""

from optoscope.paper.claims.seeds import compare_ledgers


def ledger(*verdicts):
    findings = [{"task": "rosenbrock", "claim": f"claim.{i}", "verdict": verdict} for i, verdict in enumerate(verdicts)]
    return {"findings": findings, "counts": {"rosenbrock": {}}, "left_out": {}}


def test_only_an_opposite_is_a_flip():
    found = compare_ledgers({0: ledger("reproduced", "partly", "not"), 4: ledger("not", "reproduced", "not")})
    assert found["seeds"] == [0, 4] and found["claims"] == 3
    assert [one["claim"] for one in found["changed"]] == ["claim.0", "claim.1"]
    assert found["changed"][0]["verdicts"] == {"0": "reproduced", "4": "not"}
    assert found["flips"] == 1
