// Runs what `program.py` translated: operations on flat arrays of float64, whose sizes are all known beforehand.

const roundEven = (x) => {
  const near = Math.round(x);
  return Math.abs(x % 1) === 0.5 && near % 2 !== 0 ? near - 1 : near;
};

const ONE = {
  neg: (x) => -x,
  sign: Math.sign,
  abs: Math.abs,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  cbrt: Math.cbrt,
  square: (x) => x * x,
  exp: Math.exp,
  exp2: (x) => 2 ** x,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  tanh: Math.tanh,
  logistic: (x) => 1 / (1 + Math.exp(-x)),
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  floor: Math.floor,
  ceil: Math.ceil,
  trunc: Math.trunc,
  fround: Math.fround,
  round_away: (x) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5),
  round_even: roundEven,
  not: (x) => (x ? 0 : 1),
  is_finite: (x) => (Number.isFinite(x) ? 1 : 0),
};

/** From two arrays, an array of one number with a stride of 0. Each has a loop of its own: one loop that is told by a
 * function what to do is several times slower, which is felt where the functions are as short as these. */
const TWO = {
  add: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] + b[q * i];
  },
  sub: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] - b[q * i];
  },
  mul: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] * b[q * i];
  },
  div: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] / b[q * i];
  },
  rem: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] % b[q * i];
  },
  max: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = Math.max(a[p * i], b[q * i]);
  },
  min: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = Math.min(a[p * i], b[q * i]);
  },
  pow: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] ** b[q * i];
  },
  atan2: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = Math.atan2(a[p * i], b[q * i]);
  },
  eq: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] === b[q * i] ? 1 : 0;
  },
  ne: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] !== b[q * i] ? 1 : 0;
  },
  lt: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] < b[q * i] ? 1 : 0;
  },
  le: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] <= b[q * i] ? 1 : 0;
  },
  gt: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] > b[q * i] ? 1 : 0;
  },
  ge: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] >= b[q * i] ? 1 : 0;
  },
  and: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] && b[q * i] ? 1 : 0;
  },
  or: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = a[p * i] || b[q * i] ? 1 : 0;
  },
  xor: (out, a, p, b, q) => () => {
    for (let i = 0; i < out.length; i++) out[i] = !a[p * i] !== !b[q * i] ? 1 : 0;
  },
};

const REDUCE = {
  sum: [0, (a, b) => a + b],
  prod: [1, (a, b) => a * b],
  max: [-Infinity, Math.max],
  min: [Infinity, Math.min],
};

/** Each returns a function that computes one operation: from the arrays, the number of the result, those of what it
 * takes, and its setting. An array of one number goes with one of any length. */
function compile(arrays, [name, outNumber, givenNumbers, setting]) {
  const out = arrays[outNumber];
  const given = givenNumbers.map((number) => arrays[number]);
  const length = out.length;
  const at = (array) => (array.length === 1 ? 0 : 1);
  const [a, b, c] = given;
  if (name in ONE) {
    const f = ONE[name];
    return () => {
      for (let i = 0; i < length; i++) out[i] = f(a[i]);
    };
  }
  if (name in TWO) return TWO[name](out, a, at(a), b, at(b));
  if (name in REDUCE) {
    const [start, f] = REDUCE[name];
    return () => {
      for (let i = 0; i < length; i++) {
        let found = start;
        for (let k = 0; k < setting; k++) found = f(found, a[setting * i + k]);
        out[i] = found;
      }
    };
  }
  if (name === "clamp") {
    const [p, q] = [at(a), at(c)];
    return () => {
      for (let i = 0; i < length; i++) out[i] = Math.min(Math.max(b[i], a[p * i]), c[q * i]);
    };
  }
  if (name === "select_n") {
    const options = given.slice(1);
    const p = at(a);
    return () => {
      for (let i = 0; i < length; i++) {
        const option = options[Math.min(Math.max(a[p * i], 0), options.length - 1)];
        out[i] = option[at(option) * i];
      }
    };
  }
  if (name === "take") {
    const places = Int32Array.from(setting);
    if (given.length === 1) {
      return () => {
        for (let i = 0; i < length; i++) out[i] = a[places[i]];
      };
    }
    const owner = [];
    const within = [];
    given.forEach((array) => array.forEach((_, i) => (owner.push(array), within.push(i))));
    const sources = setting.map((place) => owner[place]);
    const indices = Int32Array.from(setting.map((place) => within[place]));
    return () => {
      for (let i = 0; i < length; i++) out[i] = sources[i][indices[i]];
    };
  }
  if (name === "dot") {
    const [batches, rows, columns, summed] = setting;
    return () => {
      for (let n = 0; n < batches * rows; n++) {
        const left = n * summed;
        const block = Math.floor(n / rows) * columns;
        for (let column = 0; column < columns; column++) {
          const right = (block + column) * summed;
          let [even, odd] = [0, 0]; // two sums: an addition waits for the one before it
          for (let k = 0; k + 1 < summed; k += 2) {
            even += a[left + k] * b[right + k];
            odd += a[left + k + 1] * b[right + k + 1];
          }
          if (summed % 2) even += a[left + summed - 1] * b[right + summed - 1];
          out[n * columns + column] = even + odd;
        }
      }
    };
  }
  if (name === "look_up") {
    const { places, rows, lasts, strides } = setting;
    const width = lasts.length;
    return () => {
      for (let i = 0; i < length; i++) {
        let place = places[i];
        for (let axis = 0; axis < width; axis++) {
          place += Math.min(Math.max(b[width * rows[i] + axis], 0), lasts[axis]) * strides[axis];
        }
        out[i] = a[place];
      }
    };
  }
  throw new Error(`unknown operation ${name}`);
}

/** Turn the pool of constants from base64 into arrays. */
export function readPool(pool) {
  const read = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Float64Array(bytes.buffer);
  };
  return Object.fromEntries(Object.entries(pool).map(([name, text]) => [name, read(text)]));
}

/** A translated function, ready to run: set `inputs.NAME`, call `run`, and read `outputs`. */
export class Program {
  constructor(data, pool) {
    const arrays = data.sizes.map((size) => new Float64Array(size));
    for (const [number, name] of Object.entries(data.constants)) arrays[number] = pool[name];
    const operations = data.operations.map((operation) => compile(arrays, operation));
    this.needed = operations.slice(0, data.num_needed);
    this.rest = operations.slice(data.num_needed);
    this.outputs = data.outputs.map((number) => arrays[number]);
    this.inputs = Object.fromEntries(Object.entries(data.inputs).map(([name, number]) => [name, arrays[number]]));
  }

  /** Compute all outputs, or all but the last. */
  run(all = true) {
    for (const operation of this.needed) operation();
    if (all) for (const operation of this.rest) operation();
    return this.outputs;
  }
}
