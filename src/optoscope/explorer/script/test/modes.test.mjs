// A linear optimizer as its modes: against systems whose modes and edges are known.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Modes } from "../modes.js";
import { C, decades } from "../numbers.js";

const near = (a, b, tolerance = 1e-9) => assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a} is not ${b}`);
const momentum = Modes.of({ A: [0.9], B: [1], C: [-0.09], D: -0.1 });
const nesterov = Modes.of({ A: [0.9], B: [1], C: [-0.081], D: -0.19 });
const edgesOf = (modes, shrinks = 0) => modes.stability(decades(1e-3, 1e4, 200), shrinks).edges;

test("momentum has one mode, and is stable up to 2 (1 + decay) / learning rate", () => {
  assert.equal(momentum.decays.length, 1);
  near(momentum.rates[0][0], 0.1);
  assert.equal(momentum.direct, 0);
  const [edge, ...others] = edgesOf(momentum);
  near(edge, 38);
  assert.equal(others.length, 0);
});

test("what passes the state by is direct", () => {
  near(nesterov.rates[0][0], 0.09);
  near(nesterov.direct, 0.1);
  near(edgesOf(nesterov)[0], (2 * 1.9) / (0.1 * (1 + 2 * 0.9)));
});

test("gradient descent has no modes; with parameters that shrink it is stable up to (2 - decay) / learning rate", () => {
  const plain = Modes.of({ A: [], B: [], C: [], D: -0.1 });
  assert.deepEqual(plain.units, []);
  near(edgesOf(plain)[0], 20);
  near(edgesOf(plain, 0.1)[0], 19);
});

test("complex modes come in pairs, and respond as their system does", () => {
  const A = [0.9, -0.3, 0.3, 0.9];
  const modes = Modes.of({ A, B: [1, 0.5], C: [-0.1, 0.2], D: -0.05 });
  assert.deepEqual(modes.units, [[0, 1]]);
  let h = [1, 0.5];
  const wanted = [-0.05];
  for (let k = 1; k < 12; k++) {
    wanted.push(-0.1 * h[0] + 0.2 * h[1]);
    h = [A[0] * h[0] + A[1] * h[1], A[2] * h[0] + A[3] * h[1]];
  }
  modes.response(12).forEach((x, k) => near(x, wanted[k]));
});

test("the joint eigenvalues of momentum are the roots of its characteristic polynomial", () => {
  // z^2 - (1 + decay - rate c) z + decay
  const { roots } = momentum.joint(5);
  const found = [0, 2].map((i) => [roots[i], roots[i + 1]]);
  for (const z of found) {
    const value = C.add(C.add(C.mul(z, z), [-1.4 * z[0], -1.4 * z[1]]), [0.9, 0]);
    near(C.abs(value), 0);
  }
  near(C.abs(found[0]), Math.sqrt(0.9));
});

test("a mode that is switched off is gone", () => {
  const two = new Modes(
    [
      [0.5, 0],
      [0.99, 0],
    ],
    [
      [0.1, 0],
      [0.02, 0],
    ],
    0,
  );
  near(two.without([1]).response(3)[2], -0.1 * 0.25);
  near(edgesOf(two.without([1]))[0], (2 * 1.5) / 0.1);
});

test("equal eigenvalues count as one", () => {
  const modes = Modes.of({ A: [0.9, 0, 0, 0.9], B: [1, 0], C: [-0.09, 0], D: -0.1 });
  near(modes.rates.reduce((sum, [re]) => sum + re, 0), 0.1);
});
