// The rooms about one optimizer: update function, schedule, states, modes, stability, settings.

import { extent } from "./chart.js";
import { button, choice, element, LINEAR, LOGARITHMIC, SHARE, show, slider, tick, WHOLE } from "./controls.js";
import { Room } from "./room.js";
import { COLOR, largest, moved, normal, NUM_STEPS, past, present, subject } from "./subjects.js";
import { change, listOf, textOf, view } from "./view.js";

const SHARES = LINEAR(-1, 1);
const gradientSlider = () =>
  slider("Gradient now", {
    scale: SHARES,
    read: () => view.g,
    write: (g) => change({ g }),
    unit: () => show(present()),
  });
const pastSliders = () => [
  slider("Gradient before", {
    scale: SHARES,
    read: () => view.past,
    write: (x) => change({ past: x }),
    unit: () => show(past()),
  }),
  slider("for so many steps", { scale: WHOLE(0, NUM_STEPS), read: () => view.n, write: (n) => change({ n }) }),
];
const grid = (low, high, num) => Array.from({ length: num }, (_, i) => low + ((high - low) * i) / (num - 1));
const clamp = (x, low, high) => Math.max(low, Math.min(high, x));
const steps = (values) => values.map((y, n) => [n, y]);

export function updateRoom() {
  const room = new Room(
    "update",
    "Update function",
    "One step: what the optimizer does with the gradient that it sees now, in the state in which earlier gradients left it. Drag in the picture.",
  );
  room.add(gradientSlider(), ...pastSliders());
  const chart = room
    .picture("Update against gradient, its tangent, and (pale) the same at earlier steps.", { height: 340 })
    .onDrag((x) => change({ g: clamp(x / largest(), -1, 1) }));
  room.draw = () => {
    const { runs } = subject();
    const [G, g] = [largest(), present()];
    const gradients = [...new Set([...grid(-G, G, 201), g])].sort((a, b) => a - b);
    const curve = (h) => gradients.map((x) => [x, runs.update(h, x).update]);
    const earlier = [0, 0.25, 0.5, 0.75]
      .map((share) => Math.round(share * view.n))
      .filter((n, i, all) => n < view.n && all.indexOf(n) === i);
    const h = runs.after(past(), view.n);
    const now = curve(h);
    const behind = earlier.map((n) => curve(runs.after(past(), n)));
    const { update, learningRate } = runs.update(h, g);
    const words = `At a gradient of ${show(g)} the update is ${show(update)}. The effective learning rate there is ${show(learningRate)}`;
    chart.begin({
      x: { domain: [-G, G], label: "gradient" },
      y: { domain: extent([now, ...behind].flat().map(([, y]) => y)), label: "update" },
      words,
    });
    chart.level(0).upright(0, { className: "zero" });
    behind.forEach((points, i) =>
      chart.line(points, { name: `step ${earlier[i]}`, className: "past", opacity: 0.35 + 0.12 * i }),
    );
    chart.line(now, { name: `step ${view.n}`, color: COLOR, width: 2.5 });
    chart.line(
      grid(-G, G, 2).map((x) => [x, update - learningRate * (x - g)]),
      { className: "tangent", dash: "6 4", width: 1.5 },
    );
    chart.dots([[g, update]], { name: "here", color: COLOR, radius: 7 });
    room.say(`${words} (minus the slope of the dashed tangent).`);
  };
  return room;
}

export function scheduleRoom() {
  const room = new Room(
    "schedule",
    "Schedule and time",
    "Left alone, does it change? The learning rate that a small gradient would meet at each step of a run without gradients, and of one under the gradient before. Drag to move in time.",
  );
  room.add(...pastSliders());
  const toStep = (x) => change({ n: clamp(Math.round(x), 0, NUM_STEPS) });
  const rates = room.picture("Effective learning rate against step.", { height: 260 }).onDrag(toStep);
  const drift = room.picture("Update of every step.", { height: 220 }).onDrag(toStep);
  room.draw = () => {
    const { runs, schedule } = subject();
    const { states, updates } = runs.drive(new Array(NUM_STEPS).fill(past()));
    const met = states.map((h) => runs.update(h, 0).learningRate);
    const alone = (schedule.learning_rates ?? []).map((x) => x ?? NaN);
    const words =
      `Before step ${view.n} the learning rate is ${show(alone[view.n] ?? NaN)} without gradients` +
      (view.past ? `, and ${show(met[view.n])} after gradients of ${show(past())}` : "") +
      ".";
    rates.begin({
      x: { domain: [0, NUM_STEPS], label: "step" },
      y: { domain: extent([...alone, ...(view.past ? met : [])]), label: "learning rate" },
      words,
    });
    rates.level(0).line(steps(alone), { name: "without gradients", color: COLOR });
    if (view.past) rates.line(steps(met), { name: "under the gradient before", className: "past", dash: "6 4" });
    rates.upright(view.n, { text: `step ${view.n}` });
    drift.begin({
      x: { domain: [0, NUM_STEPS], label: "step" },
      y: { domain: extent(updates), label: "update" },
      words,
    });
    drift.level(0).line(steps(updates), { name: "update", color: COLOR }).upright(view.n);
    const measured = schedule.magnitude
      ? ` Measured with gradients of ${show(schedule.magnitude)}, because there is no slope at 0.`
      : "";
    room.say(words + measured);
  };
  return room;
}

export function statesRoom() {
  const room = new Room(
    "states",
    "State space",
    "Where its memory goes. A constant gradient pulls the state to a fixed point; drag along to change that gradient, or choose a step.",
  );
  room.add(...pastSliders());
  const chart = room.picture(
    "States in the two directions in which they vary most: runs from the start, and the curve of fixed points over all constant gradients (dashed where they repel).",
    { height: 400 },
  );
  let runsSeen = [];
  chart.onDrag((x, y) => {
    const [wx, wy] = [chart.x.domain(), chart.y.domain()].map(([low, high]) => high - low);
    const far = ([px, py]) => ((px - x) / wx) ** 2 + ((py - y) / wy) ** 2;
    let best = { d: Infinity };
    runsSeen.forEach(({ share, points }) =>
      points.forEach((point, n) => {
        if (far(point) < best.d) best = { d: far(point), share, n };
      }),
    );
    if (best.d < Infinity) change({ past: best.share, n: best.n });
  });
  room.draw = () => {
    const { runs, states } = subject();
    if (room.missing(states.reason)) return;
    const { mean, axes, shares } = states;
    const isFlat = axes.length < 2;
    const place = (h, g) => {
      const [first, second] = axes.map((axis) => axis.reduce((sum, a, i) => sum + a * (h[i] - mean[i]), 0));
      return [first, isFlat ? g : second];
    };
    const G = largest();
    const all = [...new Set([-1, -0.3, -0.1, 0.1, 0.3, 1, view.past])];
    runsSeen = all.map((share) => {
      const run = runs.drive(new Array(NUM_STEPS).fill(share * G));
      return { share, points: run.states.map((h) => place(h, share * G)) };
    });
    const branch = states.branch.gradients ?? [];
    const fixed = branch.map((g, i) => (isFlat ? [states.branch.places[i][0], g] : states.branch.places[i]));
    const inside = fixed.filter((_, i) => Math.abs(branch[i]) <= G * 1.001);
    const every = [...runsSeen.flatMap(({ points }) => points), ...inside];
    const now = runsSeen.find(({ share }) => share === view.past).points;
    const words = `State after ${view.n} steps of a gradient of ${show(past())}: ${now[view.n]
      .slice(0, isFlat ? 1 : 2)
      .map(show)
      .join(", ")}.`;
    chart.begin({
      x: {
        domain: extent(every.map(([x]) => x)),
        label: `first component (${(100 * shares[0]).toFixed(0)}% of the variance)`,
      },
      y: {
        domain: extent(every.map(([, y]) => y)),
        label: isFlat ? "gradient" : `second component (${(100 * shares[1]).toFixed(0)}%)`,
      },
      words,
    });
    for (const { share, points } of runsSeen) {
      if (share !== view.past)
        chart.line(points, { name: `run, gradient ${show(share * G)}`, className: "past", width: 1.2, opacity: 0.6 });
    }
    for (const isAttracting of [true, false]) {
      const part = fixed.map((point, i) => {
        const near = [i - 1, i, i + 1].some(
          (j) => states.branch.attracting[j] === isAttracting && (j === i || !isAttracting),
        );
        return near && Math.abs(branch[i]) <= G * 1.001 ? point : [NaN, NaN];
      });
      chart.line(part, {
        name: isAttracting ? "fixed points that attract" : "fixed points that repel",
        className: "branch",
        dash: isAttracting ? null : "3 4",
        width: 2.5,
      });
    }
    chart.line(now, { name: "this run", color: COLOR, width: 2.5 });
    const crossings = branch.flatMap((g, i) => {
      const next = branch[i + 1];
      if (next === undefined || (g - past()) * (next - past()) > 0 || g === next) return [];
      const t = (past() - g) / (next - g);
      return [[fixed[i][0] + t * (fixed[i + 1][0] - fixed[i][0]), fixed[i][1] + t * (fixed[i + 1][1] - fixed[i][1])]];
    });
    chart.dots(crossings, { name: "fixed point of this gradient", className: "open", radius: 8 });
    chart.dots([now[view.n]], { name: "here", color: COLOR, radius: 6 });
    const why = states.branch.reason
      ? ` No curve of fixed points: ${states.branch.reason}`
      : ` Fixed points of this gradient: ${crossings.length}.`;
    room.say(words + why);
  };
  return room;
}

export function modesRoom() {
  const room = new Room(
    "modes",
    "Eigenvalues",
    "Near its resting point the optimizer is linear: a sum of momentum terms, one for each mode. The nearer a mode lies to the circle, the longer it remembers; its size is its learning rate. Point at one, and switch it off.",
  );
  const units = () => subject().modes.units ?? [];
  const decay = (unit) => subject().modes.decays[unit[0]];
  const rate = (unit) => unit.reduce((sum, i) => sum + Math.hypot(...subject().modes.learning_rates[i]), 0);
  const name = (unit, i) => {
    const [re, im] = decay(unit);
    return `${i + 1}: decay ${show(re)}${Math.abs(im) > 1e-12 ? ` ± ${show(Math.abs(im))}i` : ""}`;
  };
  const off = () => listOf(view.off);
  const setOff = (list) => change({ off: textOf([...new Set(list)].sort((a, b) => a - b)) });
  room.add(
    choice("Mode", {
      options: () => units().map((unit, i) => [i, name(unit, i)]),
      read: () => view.mode,
      write: (i) => change({ mode: Number(i) }),
    }),
    tick("Keep this mode", {
      read: () => !off().includes(view.mode),
      write: (isKept) => setOff(isKept ? off().filter((i) => i !== view.mode) : [...off(), view.mode]),
    }),
    button("Keep all", () => setOff([])),
    button("Keep only this one", () =>
      setOff(
        units()
          .map((_, i) => i)
          .filter((i) => i !== view.mode),
      ),
    ),
  );
  const plane = room.picture("Eigenvalues in the complex plane. Outside the circle a mode grows.", { square: true });
  const response = room.picture(
    "What follows a gradient of 1 at step 0: this mode, those that are kept, and all of them.",
    { height: 300 },
  );
  const nearest = (x, y) =>
    units()
      .map((unit, i) => [Math.hypot(decay(unit)[0] - x, Math.abs(decay(unit)[1]) - Math.abs(y)), i])
      .sort((a, b) => a[0] - b[0])[0];
  plane.onHover((x, y) => {
    const found = units().length ? nearest(x, y) : null;
    if (found && found[0] < 0.15 && found[1] !== view.mode) change({ mode: found[1] });
  });
  room.draw = () => {
    const { modes, linear } = subject();
    if (room.missing(modes.reason ?? (units().length ? null : "it has no state, hence no modes."))) return;
    if (view.mode >= units().length) view.mode = 0;
    const impulse = (kept) => {
      linear.set(Object.fromEntries(linear.settings.map(({ name: n }, i) => [n, kept(i) ? 1 : 0])));
      return linear.drive([1, ...new Array(99).fill(0)]).updates;
    };
    const direct = impulse(() => false);
    const one = impulse((i) => i === view.mode).map((x, n) => x - direct[n]);
    const whole = impulse(() => true);
    const kept = impulse((i) => !off().includes(i));
    const unit = units()[view.mode];
    const size = Math.hypot(...decay(unit));
    const memory =
      size < 1 && size > 0
        ? `It forgets to a third in ${show(-1 / Math.log(size))} steps.`
        : size >= 1
          ? "It does not decay."
          : "It forgets at once.";
    const words = `Mode ${name(unit, view.mode)}, learning rate ${show(rate(unit))}. ${memory}`;
    plane.begin({
      x: { domain: [-1.15, 1.15], label: "real part" },
      y: { domain: [-1.15, 1.15], label: "imaginary part" },
      words,
    });
    plane
      .line(
        grid(0, 2 * Math.PI, 181).map((a) => [Math.cos(a), Math.sin(a)]),
        { className: "circle", width: 1.2 },
      )
      .level(0)
      .upright(0, { className: "zero" });
    const top = Math.max(...units().map(rate), 1e-300);
    units().forEach((each, i) => {
      const places = each.map((j) => modes.decays[j]);
      const className = `${off().includes(i) ? "open" : ""} ${i === view.mode ? "chosen" : ""}`;
      plane.dots(places, {
        name: `mode ${i + 1}`,
        className,
        color: off().includes(i) ? "none" : COLOR,
        radius: 4 + 9 * Math.sqrt(rate(each) / top),
        opacity: i === view.mode ? 1 : 0.75,
      });
    });
    response.begin({
      x: { domain: [0, 60], label: "step" },
      y: { domain: extent([...one, ...whole, ...kept].slice(0)), label: "update" },
      words,
    });
    response.level(0).line(steps(whole), { name: "all modes", className: "past", width: 4, opacity: 0.5 });
    response.line(steps(kept), { name: "modes that are kept", color: COLOR, width: 2 });
    response.line(steps(one), { name: `mode ${view.mode + 1}`, className: "tangent", dash: "6 4", width: 1.5 });
    room.say(
      `${words} Linearized ${modes.at}. ${off().length ? `${off().length} of ${units().length} modes are off.` : `${units().length} modes, all kept.`}`,
    );
  };
  return room;
}

export function stabilityRoom() {
  const room = new Room(
    "stability",
    "Stability",
    "On a loss of one curvature, does the run settle, ring or blow up? Drag the curvature across an edge.",
  );
  const bounds = () => {
    const { curvatures } = subject().stability;
    return curvatures ? [curvatures[0], curvatures.at(-1)] : [1e-3, 1e3];
  };
  const curvature = () => {
    const [low, high] = bounds();
    return low * (high / low) ** (view.curvature || 0.5);
  };
  const share = (c) => clamp(Math.log(c / bounds()[0]) / Math.log(bounds()[1] / bounds()[0]), 1e-6, 1);
  room.add(
    slider("Curvature", {
      scale: LINEAR(0, 1),
      read: () => share(curvature()),
      write: (t) => change({ curvature: Math.max(t, 1e-6) }),
      unit: () => show(curvature()),
      steps: 400,
    }),
    slider("First gradient", {
      scale: LOGARITHMIC(1e-4, 1),
      read: () => view.push,
      write: (push) => change({ push }),
      unit: () => show(view.push * largest()),
    }),
    slider("Steps", { scale: WHOLE(10, 1000), read: () => view.steps, write: (x) => change({ steps: x }) }),
    slider("Noise on gradients", {
      scale: LINEAR(0, 1),
      read: () => view.noise,
      write: (noise) => change({ noise }),
      unit: () => show(view.noise * view.push * largest()),
    }),
    slider("Clip gradients at", {
      scale: LINEAR(0, 1),
      read: () => view.clip,
      write: (clip) => change({ clip }),
      unit: () => (view.clip ? show(view.clip * view.push * largest()) : "no clipping"),
    }),
    slider("Decay of parameters", {
      scale: LINEAR(0, 0.2),
      read: () => view.decay,
      write: (x) => change({ decay: x }),
      unit: () => `${show(100 * view.decay)}% a step`,
    }),
  );
  const map = room
    .picture("How fast a small push grows (above 1) or dies out (below), against curvature.", { height: 260 })
    .onDrag((c) => change({ curvature: share(c) }));
  const run = room.picture("The parameter's distance from where it rests, step by step.", { height: 260 });
  room.draw = () => {
    const { stability, curvatures, runs } = subject();
    if (room.missing(stability.reason)) return;
    const c = curvature();
    const G = view.push * largest();
    const draw = normal(7);
    const rest = stability.gradient / c;
    const path = runs.descend(
      [rest + G / c],
      view.steps,
      (x) => {
        const g = c * x[0] + view.noise * G * draw();
        return [view.clip ? clamp(g, -view.clip * G, view.clip * G) : g];
      },
      Float64Array.from(stability.state),
      view.decay,
    );
    const away = path.map(([x]) => x - rest);
    const near = stability.curvatures.reduce(
      (best, x, i) => (Math.abs(Math.log(x / c)) < Math.abs(Math.log(stability.curvatures[best] / c)) ? i : best),
      0,
    );
    const edges = stability.edges;
    const [re, im] = stability.leading[near];
    const angle = Math.abs(Math.atan2(im, re));
    const rings = angle > 1e-6 ? `, turning round every ${show((2 * Math.PI) / angle)} steps` : "";
    const words = `At curvature ${show(c)}${edges.length ? `, ${show(c / edges[0])} of the first edge,` : ""} a small push changes by a factor of ${show(stability.radii[near])} a step${rings}.`;
    const low = Math.min(...stability.radii, 0.9);
    map.begin({
      x: { domain: bounds(), label: "curvature", log: true },
      y: { domain: [Math.max(0, low - 0.05), Math.min(Math.max(...stability.radii, 1.05), 2)], label: "growth a step" },
      words,
    });
    if (curvatures.counts) {
      const top = Math.max(...curvatures.counts);
      const [bottom, ceiling] = map.y.domain();
      curvatures.counts.forEach((count, i) => {
        const y = bottom + (0.4 * (ceiling - bottom) * count) / top;
        map.line(
          [
            [curvatures.ends[i], y],
            [curvatures.ends[i + 1], y],
          ],
          { name: "curvatures of the task (relative count)", className: "past", width: 5, opacity: 0.5 },
        );
      });
    }
    map.level(1, "edge");
    edges.forEach((edge, row) => map.upright(edge, { text: `edge ${show(edge)}`, className: "edge", row }));
    map.line(
      stability.curvatures.map((x, i) => [x, stability.radii[i]]),
      { name: "growth", color: COLOR },
    );
    map.upright(c).dots([[c, stability.radii[near]]], { name: "here", color: COLOR, radius: 6 });
    const shown = Math.max(...away.slice(0, 2).map(Math.abs)) * 6;
    const domain = extent(away.map((x) => clamp(x, -shown, shown)));
    run.begin({ x: { domain: [0, view.steps], label: "step" }, y: { domain, label: "distance" }, words });
    run.level(0).line(steps(away), { name: "distance", color: COLOR });
    const tail = Math.max(...away.slice(-Math.ceil(away.length / 10)).map(Math.abs));
    const hasLeft = path.length <= view.steps || !Number.isFinite(tail);
    const end = hasLeft
      ? "The run blows up."
      : `In the last tenth of the run it is at most ${show(tail)} away; it began ${show(Math.abs(away[0]))} away.`;
    room.say(
      `${words} ${end} Linearized ${stability.at}.${stability.is_held ? " The map holds the state's slow part fixed there." : ""}`,
    );
  };
  return room;
}

export function settingsRoom() {
  const room = new Room(
    "settings",
    "Hyperparameters",
    "Move what can be moved; every room that runs the optimizer follows at once.",
  );
  const place = element("div", { class: "controls" });
  const write = (name, value) => {
    const all = moved();
    all[subject().index][name] = value;
    change({
      settings: all
        .flatMap((one, i) => Object.entries(one).map(([key, x]) => `${i}:${key}:${Number(x.toPrecision(6))}`))
        .join(" "),
    });
  };
  const reset = button("As it was", () => change({ settings: "" }));
  room.add(place, reset);
  let made = null;
  place.update = () => {
    const one = subject();
    if (made !== one.index) {
      made = one.index;
      place.replaceChildren(
        ...one.runs.settings.map(({ name, low, high, kind }) =>
          slider(name.replaceAll("_", " "), {
            scale: kind === "share" ? SHARE(high) : LOGARITHMIC(low, high),
            read: () => subject().runs.values[name],
            write: (value) => write(name, value),
            unit: (x) => (x > 0.99 && x < 1 ? String(Number(x.toFixed(6))) : show(x)),
          }),
        ),
      );
    }
    for (const node of place.children) node.update();
    reset.hidden = !one.runs.settings.length;
  };
  room.draw = () => {
    const { runs, name } = subject();
    if (!runs.settings.length) {
      room.say(
        `${name} has no settings that could be moved here: its numbers are learned weights, or are fixed inside the function that made it.`,
      );
    } else if (runs.isChanged) {
      room.say(
        "Moved. Update function, runs, races and comparisons follow. The sentence, modes, edges and fixed points are those of the settings with which the page was made; make a page of the new ones to see theirs.",
      );
    } else {
      room.say("As it was when the page was made.");
    }
  };
  return room;
}
