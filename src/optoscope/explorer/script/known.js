// What is known of an optimizer as its settings stand: Python's results; once a setting is moved, the page's own, from
// the rule's derivatives at the state at which Python looked.

import { Modes } from "./modes.js";
import { C, decades } from "./numbers.js";
import { momentumInWords, summaryInWords } from "./words.js";

/** Steps after which a run without a gradient is at rest, or never will be. */
const SETTLING = 4000;
/** A map of stability goes so far below and beyond its edges. */
const [BELOW, BEYOND] = [1e-3, 30];
/** Steps of Newton's method for a fixed point, and its residual. */
const [MOST_NEWTON, CLOSE] = [50, 1e-12];

const kept = new Map();

/** Modes, stability and summary of an optimizer; `isLive` where the page computed them. */
export function known(one) {
  const { runs } = one;
  const key = JSON.stringify(runs.values);
  const before = kept.get(one.index);
  if (before?.key === key) return before.found;
  const found = runs.isChanged && runs.derivatives ? live(one) : asMade(one);
  kept.set(one.index, { key, found });
  return found;
}

function asMade(one) {
  return {
    isLive: false,
    modes: one.linear ? { modes: one.linear, at: one.modes.at } : { reason: one.modes.reason },
    stability: one.stability.reason
      ? one.stability
      : { ...one.stability, modes: one.resting, edges: one.stability.edges },
    summary: one.summary,
  };
}

function live(one) {
  const { runs } = one;
  const { step, gradient } = one.modes.point ?? { step: null, gradient: 0 };
  const state = step === null ? atRest(runs) : runs.after((n) => (n % 2 ? -gradient : gradient), step);
  const linear = runs.linearize(state);
  const isFinite = [linear.A, linear.B, linear.C, [linear.D]].flat().every(Number.isFinite);
  const modes = isFinite ? Modes.of(linear) : null;
  const none = { reason: "with these settings the rule has no derivative there." };
  const stability = modes ? stabilityOf(modes, one, state) : none;
  const momentum = modes ? momentumInWords(modes) : null;
  return {
    isLive: true,
    modes: modes ? { modes, at: one.modes.at ?? "where it rests" } : none,
    stability,
    summary: summaryInWords(one, momentum, modes, stability.edges?.[0]),
  };
}

/** Where a run without a gradient ends. */
function atRest(runs) {
  const h = Float64Array.from(runs.initial);
  for (let n = 0; n < SETTLING; n++) {
    const before = Float64Array.from(h);
    runs.step(h, 0);
    if (h.every((x, i) => x === before[i])) break;
  }
  return h;
}

function stabilityOf(modes, one, state) {
  const rate = Math.abs(modes.direct + modes.rates.reduce((sum, [re]) => sum + re, 0)) || 1;
  const wide = modes.stability(decades(1e-6 / rate, 1e6 / rate, 240));
  const around = wide.edges.length ? wide.edges : [1 / rate];
  const [low, high] = [around[0] * BELOW, around.at(-1) * BEYOND];
  return {
    ...modes.stability(decades(low, high, 120)),
    modes,
    state: one.stability.is_held ? Array.from(state) : Array.from(atRest(one.runs)),
    gradient: 0,
    is_held: one.stability.is_held ?? true,
    at: one.stability.at ?? one.modes.at ?? "where it rests",
  };
}

/** Fixed points under constant gradients, followed from the middle out by Newton's method; null where there is none. */
export function fixedPoints(runs, gradients) {
  const found = new Array(gradients.length).fill(null);
  const middle = gradients.reduce((best, g, i) => (Math.abs(g) < Math.abs(gradients[best]) ? i : best), 0);
  for (const direction of [1, -1]) {
    let h = atRest(runs);
    for (let i = middle; i >= 0 && i < gradients.length; i += direction) {
      const next = newton(runs, h, gradients[i]);
      if (!next) break;
      found[i] = h = next;
    }
  }
  return found;
}

function newton(runs, start, g) {
  let h = Array.from(start);
  const n = h.length;
  for (let round = 0; round < MOST_NEWTON; round++) {
    const { A } = runs.linearize(h, g);
    const next = Float64Array.from(h);
    runs.step(next, g);
    const residual = h.map((x, i) => next[i] - x);
    const size = Math.max(1, ...h.map(Math.abs));
    if (residual.every((x) => Math.abs(x) <= CLOSE * size)) return h;
    const matrix = h.map((_, i) => h.map((__, j) => (i === j ? 1 : 0) - A[n * i + j]));
    const move = solve(matrix, residual);
    if (!move?.every(Number.isFinite)) return null;
    h = h.map((x, i) => x + move[i]);
  }
  return null;
}

/** Solve a small system by elimination. */
function solve(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    const best = rows.slice(i).reduce((top, row, k) => (Math.abs(row[i]) > Math.abs(rows[i + top][i]) ? k : top), 0);
    [rows[i], rows[i + best]] = [rows[i + best], rows[i]];
    if (!rows[i][i]) return null;
    for (let k = 0; k < n; k++) {
      if (k === i) continue;
      const factor = rows[k][i] / rows[i][i];
      for (let j = i; j <= n; j++) rows[k][j] -= factor * rows[i][j];
    }
  }
  return rows.map((row, i) => row[n] / row[i]);
}

/** How long a mode remembers, in words. */
export function memoryInWords(decay, show) {
  const size = C.abs(decay);
  if (size >= 1) return "It does not decay.";
  return size > 0 ? `It forgets to a third in ${show(-1 / Math.log(size))} steps.` : "It forgets at once.";
}
