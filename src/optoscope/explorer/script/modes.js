// A linear optimizer as its modes: dx_k = -sum alpha_j beta_j^k - direct [k = 0] follows a gradient of 1 at step 0.

import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { C } from "./numbers.js";
import { Runs } from "./rule.js";

/** Eigenvalues nearer than this, relatively, are one; parts of a learning rate below this share of it are rounding. */
const SAME = 1e-9;
const ROUNDING = 1e-12;
/** Distances from 1 that are rounding: they say nothing about the side on which a curvature lies. */
const NEUTRAL = 1e-11;
/** Roots: how far they start from where they were, sizes below which a move counts in itself, and when they stand. */
const NUDGE = 1e-4;
const SMALL = 1e-3;
const CONVERGED = 1e-13;
const MOST_ITERATIONS = 60;

export class Modes extends Runs {
  /** `decays` beta_j and `rates` alpha_j as pairs [re, im]. */
  constructor(decays, rates, direct) {
    super();
    Object.assign(this, { decays, rates, direct });
    this.initial = new Float64Array(2 * decays.length);
  }

  /** Those of a system h' = A h + B g, dx = C h + D g. Equal eigenvalues count as one. */
  static of({ A, B, C: readout, D }) {
    const n = B.length;
    if (!n) return new Modes([], [], -D);
    const { realEigenvalues, imaginaryEigenvalues } = new EigenvalueDecomposition(new Matrix(rowsOf(A, n)));
    const all = realEigenvalues.map((re, j) => [re, imaginaryEigenvalues[j]]);
    const apart = (a, b) => C.abs(C.sub(a, b)) > SAME * Math.max(1, C.abs(a));
    const decays = all.filter((one, j) => all.findIndex((other) => !apart(one, other)) === j);
    // Sylvester's formula: the part of B along eigenvalue j is the product of (A - beta_k) / (beta_j - beta_k) times B.
    const rates = decays.map((decay) => {
      if (C.abs(decay) <= ROUNDING) return [0, 0];
      let part = B.map((b) => [b, 0]);
      for (const other of decays) {
        if (!apart(decay, other)) continue;
        const product = rowsOf(A, n).map((row) =>
          row.reduce((sum, a, k) => C.add(sum, [a * part[k][0], a * part[k][1]]), [0, 0]),
        );
        part = product.map((one, i) => C.div(C.sub(one, C.mul(other, part[i])), C.sub(decay, other)));
      }
      const read = part.reduce((sum, one, i) => C.add(sum, [readout[i] * one[0], readout[i] * one[1]]), [0, 0]);
      return C.div([-read[0], -read[1]], decay);
    });
    const rest = -D - rates.reduce((sum, [re]) => sum + re, 0);
    return new Modes(decays, rates, Math.abs(rest) > ROUNDING * Math.abs(D) ? rest : 0).#sorted();
  }

  #sorted() {
    const order = this.decays.map((_, j) => j);
    const key = (j) => [-C.abs(this.rates[j]), -Math.abs(this.decays[j][1]), -this.decays[j][1]];
    order.sort((a, b) => key(a).reduce((found, x, i) => found || x - key(b)[i], 0));
    return new Modes(
      order.map((j) => this.decays[j]),
      order.map((j) => this.rates[j]),
      this.direct,
    );
  }

  /** Indices of the modes one by one, conjugate pairs together. */
  get units() {
    const left = new Set(this.decays.keys());
    const found = [];
    for (const [j, [re, im]] of this.decays.entries()) {
      if (im < 0 || !left.delete(j)) continue;
      const unit = [j];
      if (im > 0) {
        const far = (k) => Math.hypot(this.decays[k][0] - re, this.decays[k][1] + im);
        const partners = [...left].filter((k) => this.decays[k][1] < 0).sort((a, b) => far(a) - far(b));
        if (partners.length && left.delete(partners[0])) unit.push(partners[0]);
      }
      found.push(unit);
    }
    return found;
  }

  /** The same without some of its units. */
  without(units) {
    const gone = new Set(units.flatMap((i) => this.units[i] ?? []));
    const kept = (list) => list.filter((_, j) => !gone.has(j));
    return new Modes(kept(this.decays), kept(this.rates), this.direct);
  }

  step(h, g) {
    let update = -this.direct * g;
    this.decays.forEach(([a, b], j) => {
      const [re, im] = [h[2 * j], h[2 * j + 1]];
      h[2 * j] = a * re - b * im + g;
      h[2 * j + 1] = a * im + b * re;
      update -= this.rates[j][0] * h[2 * j] - this.rates[j][1] * h[2 * j + 1];
    });
    return update;
  }

  /** Updates that follow a gradient of 1 at step 0. */
  response(numSteps) {
    return this.drive([1, ...new Array(numSteps - 1).fill(0)]).updates;
  }

  /** Eigenvalues of the optimizer together with a parameter of this curvature that shrinks by `shrinks` a step: the
   * roots of z - 1 + shrinks + curvature (direct + sum alpha_j z / (z - beta_j)), all at once (Aberth, 1973). */
  joint(curvature, shrinks = 0, start = null) {
    const driven = this.decays.map((_, j) => j).filter((j) => C.abs(this.rates[j]) > 0);
    const idle = this.decays.filter((_, j) => !driven.includes(j));
    const poles = Float64Array.from(driven.flatMap((j) => this.decays[j]));
    const rates = Float64Array.from(driven.flatMap((j) => this.rates[j].map((x) => curvature * x)));
    const first = start?.length === poles.length + 2 ? start : [1 - shrinks, 0, ...poles];
    // Off the real axis, from which no step leads away.
    const roots = Float64Array.from(first, (x, i) => x + NUDGE * (i % 2 ? Math.sin(i + 1) : Math.cos(i)));
    const offset = shrinks - 1 + curvature * this.direct;
    for (let round = 0; round < MOST_ITERATIONS; round++) {
      let largest = 0;
      for (let i = 0; i < roots.length; i += 2) {
        const move = aberth(roots, i, poles, rates, offset);
        const size = Math.hypot(...move);
        if (!Number.isFinite(size)) continue;
        roots[i] -= move[0];
        roots[i + 1] -= move[1];
        largest = Math.max(largest, size / Math.max(SMALL, Math.hypot(roots[i], roots[i + 1])));
      }
      if (largest < CONVERGED) break;
    }
    let leading = idle.reduce((best, one) => (C.abs(one) > C.abs(best) ? one : best), [0, 0]);
    for (let i = 0; i < roots.length; i += 2) {
      if (Math.hypot(roots[i], roots[i + 1]) > C.abs(leading)) leading = [roots[i], roots[i + 1]];
    }
    return { roots, leading: [leading[0], Math.abs(leading[1])] };
  }

  /** Leading eigenvalues over curvatures, in increasing order, and every curvature where their size passes 1. */
  stability(curvatures, shrinks = 0) {
    const leading = [];
    const edges = [];
    const side = (value) => (Math.abs(value) > NEUTRAL ? Math.sign(value) : 0);
    let before = null;
    for (const curvature of curvatures) {
      const found = this.joint(curvature, shrinks, before?.found.roots);
      const here = { curvature, found, side: side(C.abs(found.leading) - 1) };
      if (before && here.side !== before.side && before.side !== 0) edges.push(this.#edge(before, here, shrinks, side));
      leading.push(found.leading);
      before = here;
    }
    return { curvatures, leading, radii: leading.map(C.abs), edges };
  }

  #edge(before, after, shrinks, side) {
    let [low, high] = [before.curvature, after.curvature];
    for (let i = 0; i < 60 && high / low > 1 + 1e-13; i++) {
      const middle = Math.sqrt(low * high);
      const { leading } = this.joint(middle, shrinks, before.found.roots);
      if (side(C.abs(leading) - 1) === before.side) low = middle;
      else high = middle;
    }
    return Math.sqrt(low * high);
  }
}

const rowsOf = (A, n) => Array.from({ length: n }, (_, i) => A.slice(i * n, (i + 1) * n));

/** Aberth's correction of the root at place i of z + offset + sum rates_j z / (z - poles_j); all pairs lie flat. */
function aberth(roots, i, poles, rates, offset) {
  const [x, y] = [roots[i], roots[i + 1]];
  let [fx, fy, dx, dy, sx, sy] = [x + offset, y, 1, 0, 0, 0]; // value, slope, sum of 1 / (z - pole)
  for (let j = 0; j < poles.length; j += 2) {
    const [px, py] = [x - poles[j], y - poles[j + 1]];
    const size = px * px + py * py;
    const [ox, oy] = [px / size, -py / size];
    const [rx, ry] = [rates[j] * ox - rates[j + 1] * oy, rates[j] * oy + rates[j + 1] * ox];
    fx += rx * x - ry * y;
    fy += rx * y + ry * x;
    const [qx, qy] = [rx * ox - ry * oy, rx * oy + ry * ox];
    dx -= qx * poles[j] - qy * poles[j + 1];
    dy -= qx * poles[j + 1] + qy * poles[j];
    sx += ox;
    sy += oy;
  }
  let [cx, cy] = [0, 0]; // the crowd of the other roots
  for (let k = 0; k < roots.length; k += 2) {
    if (k === i) continue;
    const [px, py] = [x - roots[k], y - roots[k + 1]];
    const size = px * px + py * py;
    cx += px / size;
    cy -= py / size;
  }
  // f / (f' + f (sum - crowd)), which is Newton's step over 1 minus itself times the crowd.
  const [tx, ty] = [sx - cx, sy - cy];
  return C.div([fx, fy], [dx + fx * tx - fy * ty, dy + fx * ty + fy * tx]);
}
