"""`optoscope gallery`."""


def test_it_writes_a_page(run, tmp_path):
    call = ["gallery", "--rule", "lamb", "--out", str(tmp_path / "g"), "--json"]
    called = run(*call)
    assert called.code == 0 and "lamb" in called.out
    assert "| `lamb` |" in (tmp_path / "g" / "optax_gallery.md").read_text()
    assert run(*call).code == 2  # it is not empty


def test_bad_rules(refused):
    assert "unknown rule of optax 'nothing'" in refused("gallery", "--out", "x", "--rule", "nothing")
    assert "`--rule` has 'adam' twice" in refused("gallery", "--out", "x", "--rule", "adam", "adam")
