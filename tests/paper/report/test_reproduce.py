"""The main job, on what ships: the page is whole, stands alone and says what the numbers say."""

import json
import re

import pytest
from chromium import PROGRAM, Page
from markupsafe import escape

from optoscope.cli.main import main
from optoscope.paper.claims import CLAIMS
from optoscope.paper.reproduce import check_tasks


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
    assert {1, 2, 3, 4, 6, 8, 10, 11, 12, 16, 17, 19} <= set(numbers)
    for number in numbers:
        for kind in ("png", "svg", "json"):
            assert (made / "figures" / f"figure_{number}.{kind}").stat().st_size > 500
        drawn = json.loads((made / "figures" / f"figure_{number}.json").read_text())
        assert drawn["provenance"]["versions"]["jax"]
    assert page.count('src="data:image/png;base64,') == len(numbers)


def test_the_table_shows_the_results(made):
    page = (made / "index.html").read_text()
    results = json.loads((made / "results.json").read_text())
    assert len(results["results"]) == 8  # four optimizers, on 64 and on 512 problems
    for row in results["results"]:
        assert row["mean"] in page and row["median"] in page


def test_the_page_begins_with_the_claims_and_each_opens(made):
    page = (made / "index.html").read_text()
    ledger = json.loads((made / "claims.json").read_text())
    places = [page.index(f'id="{name}"') for name in ("claims", "figures", "findings", "results")]
    assert places == sorted(places)
    assert page.index('class="matrix"') < places[1]
    cells = re.findall(r'<a class="cell[^"]*" href="#([^"]+)"', page)
    opened = re.findall(r'<div class="inside" id="([^"]+)"', page)
    assert cells == opened
    about = [claim.id for claim in CLAIMS if "rosenbrock" in claim.tasks]
    assert opened == [f"{name}-rosenbrock" for name in about]
    for one in ledger["findings"]:
        assert one["verdict"] in ("reproduced", "partly", "not")
        assert escape(one["sentence"]) in page and escape(one["rule"]) in page
    for link in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{link}"' in page


def test_the_page_is_small(made):
    assert (made / "index.html").stat().st_size < 15e6


@pytest.fixture(scope="module")
def phone(made, tmp_path_factory):
    """The page on a screen as wide as a phone's, loaded."""
    if PROGRAM is None:
        pytest.skip("Chromium is not installed; apt-get install --no-install-recommends chromium.")
    page = Page(tmp_path_factory.mktemp("profile"), width=380)
    try:
        page.open(made / "index.html")
        yield page
    finally:
        page.close()


def test_a_browser_finds_no_error_and_asks_nobody(phone, made):
    assert not phone.of("Runtime.exceptionThrown") and not phone.of("Runtime.consoleAPICalled")
    assert [entry for entry in phone.of("Log.entryAdded") if entry["entry"]["level"] in ("error", "warning")] == []
    asked = {event["request"]["url"] for event in phone.of("Network.requestWillBeSent")}
    own = (made / "index.html").resolve().as_uri()
    assert own in asked and all(url == own or url.startswith("data:") for url in asked)


def test_a_browser_shows_every_image(phone):
    shown = phone.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 300)")
    assert len(shown) >= 10 and all(shown)


def test_a_phone_does_not_scroll_sideways(phone):
    width = "document.documentElement.scrollWidth"
    assert phone.evaluate("innerWidth") == 380 and phone.evaluate(width) <= 380
    closed = phone.evaluate("document.body.scrollHeight")
    phone.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert phone.evaluate("document.body.scrollHeight") > closed  # they opened
    assert phone.evaluate(width) <= 380
    look = "one => [one.offsetHeight, getComputedStyle(one).backgroundImage]"
    shown = phone.evaluate(f"[...document.querySelectorAll('.picture')].map({look})")
    assert len(shown) > 10 and all(height > 50 and image.startswith('url("data:image') for height, image in shown)


def test_a_cell_opens_its_finding(phone):
    phone.evaluate("document.querySelectorAll('details').forEach(one => { one.open = false })")
    phone.evaluate("document.querySelector('a.cell').click()")
    phone.wait_for("document.querySelector('details.claim').open && document.querySelector('details.theme').open")


def test_the_interactive_page_has_the_ledger(made, tmp_path):
    if PROGRAM is None:
        pytest.skip("Chromium is not installed; apt-get install --no-install-recommends chromium.")
    assert (made / "explorer.html").stat().st_size < 3e6
    page = Page(tmp_path / "profile", width=800)
    try:
        page.open(made / "explorer.html", "#room=ledger")
        page.wait_for("document.body.dataset.ready")
        page.evaluate("document.querySelector('#ledger button.cell').click()")
        page.wait_for("document.querySelector('#ledger .finding img')?.naturalWidth > 300")
        said = page.evaluate("document.querySelector('#ledger .reading').textContent")
        assert "lower meta-objective than momentum" in said and "reproduced" in said
    finally:
        page.close()


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
    with pytest.raises(ValueError, match="unknown task 'cifar'"):
        check_tasks(["cifar"])
