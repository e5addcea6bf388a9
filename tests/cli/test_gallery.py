"""`optoscope gallery`."""

import json


def test_it_writes_a_page(run, tmp_path):
    call = ["gallery", "optax", "--name", "sgd", "--out", str(tmp_path / "s"), "--json"]
    called = run(*call)
    assert called.code == 0, called.err
    (row,) = json.loads(called.out)["rows"]
    assert row["name"] == "sgd" and row["unit"] == "component"
    assert "Optimizers of optax" in (tmp_path / "s" / "optax_gallery.html").read_text()
    assert run(*call).code == 2  # it is there
    again = run(*call, "--force")  # what is done is kept
    assert again.code == 0 and json.loads(again.out)["rows"] == [row]


def test_bad_calls(refused):
    assert "unknown collection 'nothing'" in refused("gallery", "nothing", "--out", "x")
    assert "unknown optimizer of optax 'nothing'" in refused("gallery", "optax", "--name", "nothing", "--out", "x")
    message = refused("gallery", "optax", "--out", "x", "--limit", "5")
    assert "--limit needs --on processes" in message
