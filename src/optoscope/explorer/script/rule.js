// An optimizer of one component: its program, its settings, and runs of it.

import { Program } from "./program.js";

export class Rule {
  /** `data` holds the program with inputs h, g and one per setting, and outputs h', dx, -d(dx)/dg. */
  constructor(data, pool) {
    this.program = new Program(data.program, pool);
    this.initial = Float64Array.from(data.initial);
    this.settings = data.settings ?? [];
    this.set({});
  }

  /** Give settings the values of an object; those that it leaves out have the values of the start. */
  set(values) {
    this.values = Object.fromEntries(this.settings.map(({ name, value }) => [name, values[name] ?? value]));
    for (const [name, value] of Object.entries(this.values)) this.program.inputs[`setting_${name}`][0] = value;
    return this;
  }

  get isChanged() {
    return this.settings.some(({ name, value }) => this.values[name] !== value);
  }

  /** One step from state `h`, which becomes the next state; returns the update. */
  step(h, g) {
    this.program.inputs.h.set(h);
    this.program.inputs.g[0] = g;
    const [next, update] = this.program.run(false);
    h.set(next);
    return update[0];
  }

  /** The update at a state, which stays, and the effective learning rate there. */
  update(h, g) {
    this.program.inputs.h.set(h);
    this.program.inputs.g[0] = g;
    const [, update, slope] = this.program.run(true);
    return { update: update[0], learningRate: slope[0] };
  }

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

  /** The state after `numSteps` steps under a constant gradient. */
  after(g, numSteps, start = this.initial) {
    const h = Float64Array.from(start);
    for (let n = 0; n < numSteps; n++) this.step(h, g);
    return h;
  }

  /** Run on a loss whose gradient at the parameters x is `gradientAt(x, step)`: components with a state each, all from
   * `first`; parameters shrink by `decay` a step. */
  descend(start, numSteps, gradientAt, first = this.initial, decay = 0) {
    const x = Float64Array.from(start);
    const states = start.map(() => Float64Array.from(first));
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
