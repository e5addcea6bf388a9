"""Recipes and what ships belong together."""

import dataclasses

import pytest

from optoscope import artifacts
from optoscope.training.config import preset
from optoscope.training.recipes import BASELINES, COMPARISONS, RECIPES

EVERY = {recipe.name: recipe for recipe in (*RECIPES, *COMPARISONS)}


def test_every_recipe_has_a_name_of_its_own_and_there_is_one_for_everything_that_ships():
    assert len(EVERY) == len(RECIPES) + len(COMPARISONS)
    assert set(artifacts.shipped()) == set(EVERY)


def unrolls(config: dict) -> list[int]:
    """The length of each meta-step's unroll."""
    shorter = [num_steps for num_steps, count in config.get("curriculum", ()) for _ in range(count)]
    return (shorter + [config["num_steps"]] * config["num_meta_steps"])[: config["num_meta_steps"]]


@pytest.mark.parametrize("name", list(artifacts.shipped()))
def test_what_ships_was_made_with_the_settings_that_its_command_has_now(name):
    recipe, made = EVERY[name], artifacts.load(name)
    assert (made.task, made.seed) == (recipe.task, recipe.seed)
    if recipe.how == "tune":
        assert made.rule == recipe.setting in BASELINES
        return
    assert made.preset == recipe.setting
    now = dataclasses.asdict(preset(recipe.setting, recipe.task))
    assert unrolls(made.config) == unrolls(now)
    then = {key: value for key, value in made.config.items() if key in now and key != "curriculum"}
    assert then == {key: now[key] for key in then}
