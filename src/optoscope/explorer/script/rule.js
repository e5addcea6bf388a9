// What can be run: from a state and a gradient to the next state and the update.

import { Program } from "./program.js";

/** Runs of anything that has `initial` (its first state) and `step(h, g)`, which changes h and returns the update. */
export class Runs {
  /** Run under given gradients: states before each step and after the last, and updates. */
  drive(gradients, start = this.initial) {
    const h = Float64Array.from(start);
    const states = [Float64Array.from(h)];
    const updates = [];
    for (const g of gradients) {
      updates.push(this.step(h, g));
      states.push(Float64Array.from(h));
    }
    return { states, updates };
  }

  /** The state after `numSteps` steps under a gradient that is constant, or a function of the step. */
  after(g, numSteps, start = this.initial) {
    const h = Float64Array.from(start);
    const at = typeof g === "function" ? g : () => g;
    for (let n = 0; n < numSteps; n++) this.step(h, at(n));
    return h;
  }

  /** Run on a loss whose gradient at the parameters x is `gradientAt(x, step)`: components with a state each, all from
   * `first`; parameters shrink by `decay` a step. */
  descend(start, numSteps, gradientAt, first = this.initial, decay = 0) {
    const x = Float64Array.from(start);
    const states = Array.from(start, () => Float64Array.from(first));
    const path = [Float64Array.from(x)];
    for (let n = 0; n < numSteps; n++) {
      const gradient = Float64Array.from(gradientAt(x, n));
      for (let i = 0; i < x.length; i++) x[i] += this.step(states[i], gradient[i]) - decay * x[i];
      path.push(Float64Array.from(x));
      if (!x.every((value) => Math.abs(value) < 1e12)) break;
    }
    return path;
  }
}

/** An optimizer of one component: its program and its settings. */
export class Rule extends Runs {
  /** `data` holds the program with inputs h, g and one per setting, and outputs h', dx, -d(dx)/dg; of a rule with
   * settings also `derivatives`: A = dh'/dh, B = dh'/dg, C = d(dx)/dh, D = d(dx)/dg. */
  constructor(data, pool) {
    super();
    this.program = new Program(data.program, pool);
    this.derivatives = data.derivatives ? new Program(data.derivatives, pool) : null;
    this.initial = Float64Array.from(data.initial);
    this.settings = data.settings ?? [];
    this.set({});
  }

  /** Give settings the values of an object; those that it leaves out have the values of the start. */
  set(values) {
    this.values = Object.fromEntries(this.settings.map(({ name, value }) => [name, values[name] ?? value]));
    for (const [name, value] of Object.entries(this.values)) {
      for (const program of [this.program, this.derivatives]) {
        const input = program?.inputs[`setting_${name}`];
        if (input) input[0] = value;
      }
    }
    return this;
  }

  get isChanged() {
    return this.settings.some(({ name, value }) => this.values[name] !== value);
  }

  #at(program, h, g) {
    program.inputs.h.set(h);
    program.inputs.g[0] = g;
    return program;
  }

  step(h, g) {
    const [next, update] = this.#at(this.program, h, g).run(false);
    h.set(next);
    return update[0];
  }

  /** The update at a state, which stays, and the effective learning rate there. */
  update(h, g) {
    const [, update, slope] = this.#at(this.program, h, g).run();
    return { update: update[0], learningRate: slope[0] };
  }

  /** The rule near a state and a gradient: A (rows one after the other), B, C, D. */
  linearize(h, g = 0) {
    const [A, B, C, D] = this.#at(this.derivatives, h, g).run().map((part) => Array.from(part));
    return { A, B, C, D: D[0] };
  }
}

/** A whole optimizer on a matrix, whose entries lie one after the other. */
export class Whole {
  /** `data` holds the program with inputs h, g and x, and outputs h' and dx. */
  constructor(data, pool) {
    this.program = new Program(data.program, pool);
    this.initial = Float64Array.from(data.initial);
  }

  descend(start, numSteps, gradientAt) {
    const x = Float64Array.from(start);
    const path = [Float64Array.from(x)];
    const { inputs } = this.program;
    inputs.h.set(this.initial);
    for (let n = 0; n < numSteps && x.every((value) => Math.abs(value) < 1e12); n++) {
      inputs.x.set(x);
      inputs.g.set(gradientAt(x, n));
      const [next, update] = this.program.run();
      for (let i = 0; i < x.length; i++) x[i] += update[i];
      inputs.h.set(next);
      path.push(Float64Array.from(x));
    }
    return path;
  }
}
