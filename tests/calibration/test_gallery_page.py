"""The page of a gallery, in a browser."""

import pytest
from chromium import PROGRAM, Page

from optoscope.calibration import Gallery
from optoscope.calibration.gallery import EXPONENTS

ROWS = [
    ("sgd", "component", 1.0, 1.0),
    ("lamb", "layer", 0.0, 0.6),
    ("<b>", None, None, None),
    ("lion", "component", -0.5, 0.9),
]


def page_of(directory):
    rows = [
        {"name": name, "arguments": "", "unit": unit, "exponents": unit and dict.fromkeys(EXPONENTS, own),
         "what_it_does": "", "view": unit and "own", "diagnosis": "", "explained": explained, "what_it_needs": "",
         "seconds": 0.0}
        for name, unit, own, explained in ROWS
    ]  # fmt: skip
    return Gallery("optax", "1.0", rows, {}).write(directory)


@pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")
def test_it_sorts_and_searches(tmp_path):
    browser = Page(tmp_path / "profile", width=1200)
    try:
        browser.open(page_of(tmp_path))
        names = "[...document.querySelectorAll('tbody tr:not([hidden]) td.name')].map(one => one.textContent.trim())"
        press = lambda name: browser.evaluate(
            f"[...document.querySelectorAll('th button')].find(one => one.textContent === '{name}').click()"
        )
        assert browser.evaluate(names) == ["sgd", "lamb", "<b>", "lion"]
        press("own")
        assert browser.evaluate(names) == ["lion", "lamb", "sgd", "<b>"]
        press("own")
        assert browser.evaluate(names)[-3:] == ["sgd", "lamb", "lion"]
        assert browser.evaluate("document.querySelector('[aria-sort=descending]').textContent") == "own"
        press("optimizer")
        assert browser.evaluate(names) == ["<b>", "lamb", "lion", "sgd"]
        browser.evaluate("search.value = 'LAYER'; search.dispatchEvent(new Event('input'))")
        assert browser.evaluate(names) == ["lamb"] and browser.evaluate("left.value") == "1 of 4"
        assert not [
            one for one in browser.of("Network.requestWillBeSent") if not one["request"]["url"].startswith("file")
        ]
    finally:
        browser.close()
