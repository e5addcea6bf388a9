"""`optoscope explore`."""


def test_it_writes_one_page(run, tmp_path):
    page = tmp_path / "page.html"
    called = run("explore", "optax:sgd(0.1, momentum=0.9)", "--out", str(page))
    assert called.code == 0, called.err
    assert page.read_text().lower().startswith("<!doctype html>")
    called = run("explore", "optax:sgd(0.1, momentum=0.9)", "--out", str(page))
    assert called.code == 2 and "pass --force" in called.err


def test_bad_calls(refused, tmp_path):
    assert "cannot find optax:nothing" in refused("explore", "optax:nothing()", "--out", str(tmp_path / "page.html"))
