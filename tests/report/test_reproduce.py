"""The main job, on what ships: the page is whole, stands alone and says what the numbers say."""

import json
import re

import pytest

from optoscope.cli.main import main
from optoscope.report.reproduce import check_tasks


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reproduction")
    assert main(["reproduce", "rosenbrock", "--out", str(directory)]) == 0
    return directory


def test_the_page_asks_nothing_of_a_network(made):
    page = (made / "index.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "@import" not in page and "<script" not in page


def test_every_figure_is_there_with_its_numbers(made):
    page = (made / "index.html").read_text()
    numbers = [int(n) for n in re.findall(r'<figure id="figure-(\d+)"', page)]
    assert {1, 2, 3, 4, 6, 8, 10, 11, 12, 17, 19} <= set(numbers)
    for number in numbers:
        for kind in ("png", "svg", "json"):
            assert (made / "figures" / f"figure_{number}.{kind}").stat().st_size > 500
        drawn = json.loads((made / "figures" / f"figure_{number}.json").read_text())
        assert drawn["provenance"]["versions"]["jax"]
    assert page.count("data:image/png;base64,") == len(numbers)


def test_the_table_shows_the_results(made):
    page = (made / "index.html").read_text()
    results = json.loads((made / "results.json").read_text())
    assert len(results["results"]) == 8  # four optimizers, on 64 and on 512 problems
    for row in results["results"]:
        assert row["mean"] in page and row["median"] in page
    assert {row["figure"] for row in results["statements"]} >= {8, 10, 11, 12, 17}


def test_the_shipped_optimizer_beats_every_tuned_baseline(made):
    for row in json.loads((made / "results.json").read_text())["results"]:
        if row["optimizer"] != "learned":
            for column in ("learned minus this", "log(learned / this)"):
                high = float(re.search(r", (.+)\]", row[column])[1])
                assert high < 0, row


def test_output_is_not_overwritten_without_force(made, capsys):
    assert main(["reproduce", "rosenbrock", "--out", str(made)]) == 2
    assert "pass --force" in capsys.readouterr().err


def test_tasks_keep_the_order_of_the_paper():
    assert check_tasks(["rosenbrock", "linear_regression"]) == ("linear_regression", "rosenbrock")
    with pytest.raises(ValueError, match="Known: linear_regression, rosenbrock"):
        check_tasks(["cifar"])
