// The sentence that follows the settings.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Modes } from "../modes.js";
import { decayInWords, momentumInWords } from "../words.js";

const clause = (system) => momentumInWords(Modes.of(system)).clause;

test("decays are told from 1", () => {
  assert.equal(decayInWords([0.9, 0]), "0.90");
  assert.equal(decayInWords([0.9999, 0]), "0.9999 (10,000 steps)");
  assert.equal(decayInWords([-0.5, 0]), "-0.50");
});

test("momentum is named by its timescales", () => {
  assert.equal(clause({ A: [0.9], B: [1], C: [-0.09], D: -0.1 }), "momentum with timescale 0.90");
  assert.equal(clause({ A: [0.9], B: [1], C: [-0.081], D: -0.19 }), "momentum with timescale 0.90 (Nesterov's)");
  assert.equal(clause({ A: [0], B: [1], C: [0], D: -0.1 }), "no momentum");
  assert.equal(clause({ A: [], B: [], C: [], D: -0.1 }), "no momentum");
  assert.match(clause({ A: [0.08], B: [1], C: [-0.008], D: -0.1 }), /^momentum undecided \(8\.0%/);
});
