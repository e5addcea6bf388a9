"""`make campaign`: kill, damage, mistype and start twice; write what was found on a page of the documentation."""

import argparse
import os
import sys
from pathlib import Path

_PARTS = ("kills", "mutants", "command lines", "pairs")


def main() -> int:
    """Run the campaign; returns 1 if it found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument(
        "--part",
        action="append",
        choices=_PARTS,
        help="run this part only; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, help="determines every case")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases of each part")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="cases at a time")
    parser.add_argument(
        "--out", type=Path, default=Path("out/campaign"), help="what was found; the campaign goes on there"
    )
    parser.add_argument("--page", type=Path, default=None, help="the page to write when all parts have cases")
    chosen = parser.parse_args()
    out = chosen.out.resolve()
    # Read when JAX is imported, by the fork server and by the commands that are started.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(out / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from tests.campaign import command_lines, kills, mutants, pairs
    from tests.campaign.ledger import Ledger
    from tests.campaign.page import page

    share, common = chosen.share, {"seed": chosen.seed, "num_workers": chosen.workers}
    calls = {
        "kills": lambda ledger, place: kills.campaign(ledger, place, share=share, **common),
        "mutants": lambda ledger, place: mutants.campaign(ledger, place, num=round(10_000 * share), **common),
        "command lines": lambda ledger, place: command_lines.campaign(ledger, place, num=round(500 * share), **common),
        "pairs": lambda ledger, place: pairs.campaign(ledger, place, share=share, **common),
    }
    ledgers = {}
    for part in _PARTS:
        place, runs = out / part.replace(" ", "_"), part in (chosen.part or _PARTS)
        ledgers[part] = Ledger(place / "ledger.jsonl", part, chosen.seed, as_it_is=not runs)
        if runs:
            calls[part](ledgers[part], place)
    if chosen.page is not None and all(ledger.cases for ledger in ledgers.values()):
        minutes = sum(ledger.seconds for ledger in ledgers.values()) / 60
        chosen.page.write_text(page(ledgers, seed=chosen.seed, minutes=minutes))
    num_faults = sum(len(ledger.faults) for ledger in ledgers.values())
    sys.stderr.write(f"campaign: {sum(len(one.cases) for one in ledgers.values())} cases, {num_faults} faults\n")
    return int(num_faults > 0)


if __name__ == "__main__":
    sys.exit(main())
