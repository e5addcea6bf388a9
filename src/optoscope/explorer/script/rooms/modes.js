// The modes: eigenvalues near the resting point, what each adds, and the optimizer without some of them.

import { extent } from "../chart.js";
import { button, choice, show, tick } from "../controls.js";
import { known, memoryInWords } from "../known.js";
import { C, decades, grid, steps } from "../numbers.js";
import { Room } from "../room.js";
import { COLOR, subject } from "../subjects.js";
import { change, listOf, textOf, view } from "../view.js";
import { decayInWords } from "../words.js";
import { curvatureOf } from "./stability.js";

/** Steps of a response and of a run; how near the pointer must come to a mode. */
const [NUM_SHOWN, NUM_RUN, NEAR] = [60, 120, 0.15];

export function modesRoom() {
  const room = new Room(
    "modes",
    "Eigenvalues",
    "Near its resting point the optimizer is linear: a sum of momentum terms, one for each mode. The nearer a mode lies to the circle, the longer it remembers; its size is its learning rate. Point at one, and switch it off.",
    ["mode", "off", "curvature"],
  );
  const all = () => known(subject()).modes.modes ?? null;
  const units = () => all()?.units ?? [];
  const decay = (unit) => all().decays[unit[0]];
  const rate = (unit) => unit.reduce((sum, j) => sum + C.abs(all().rates[j]), 0);
  const name = (unit, i) => `${i + 1}: decay ${decayInWords(decay(unit))}`;
  const off = () => listOf(view.off).filter((i) => i < units().length);
  const setOff = (list) => change({ off: textOf([...new Set(list)].sort((a, b) => a - b)) });
  const others = () => units().flatMap((_, i) => (i === view.mode ? [] : [i]));
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
    button("Keep only this one", () => setOff(others())),
  );
  const plane = room.picture("Eigenvalues in the complex plane. Outside the circle a mode grows.", { square: true });
  const response = room.picture(
    "What follows a gradient of 1 at step 0: all modes (pale), those that are kept, and this mode (dashed).",
    { height: 240 },
  );
  const run = room.picture(
    "A run on a loss of the curvature chosen under Stability: the linear optimizer (pale), and with the modes that are kept.",
    { height: 220 },
  );
  plane.onHover((x, y) => {
    const far = (unit) => Math.hypot(decay(unit)[0] - x, Math.abs(decay(unit)[1]) - Math.abs(y));
    const best = units().reduce((nearest, unit, i) => (far(unit) < nearest.d ? { d: far(unit), i } : nearest), { d: NEAR });
    if (best.i !== undefined && best.i !== view.mode) change({ mode: best.i });
  });
  room.draw = () => {
    const { modes, reason, at } = known(subject()).modes;
    if (room.missing(reason ?? (units().length ? null : "it has no state, hence no modes."))) return;
    if (view.mode >= units().length) view.mode = 0;
    const left = modes.without(off());
    const unit = units()[view.mode];
    const words = `Mode ${name(unit, view.mode)}, learning rate ${show(rate(unit))}. ${memoryInWords(decay(unit), show)}`;
    drawPlane(plane, { modes, units: units(), rate, off: off(), words });
    const one = modes.without(others()).response(NUM_SHOWN);
    one[0] += modes.direct;
    const [whole, kept] = [modes, left].map((each) => each.response(NUM_SHOWN));
    response.begin({
      x: { domain: [0, NUM_SHOWN], label: "step" },
      y: { domain: extent([...one, ...whole, ...kept]), label: "update" },
      words,
    });
    response.level(0).line(steps(whole), { name: "all modes", className: "past", width: 4, opacity: 0.5 });
    response.line(steps(kept), { name: "modes that are kept", color: COLOR });
    response.line(steps(one), { name: `mode ${view.mode + 1}`, className: "tangent", dash: "6 4", width: 1.5 });
    const said = drawRun(run, modes, left, words);
    const number = off().length ? `${off().length} of ${units().length} modes are off.` : `${units().length} modes, all kept.`;
    room.say(`${words} Linearized ${at}. ${number} ${said}`);
  };
  return room;
}

function drawPlane(plane, { modes, units, rate, off, words }) {
  const size = Math.max(1.15, ...modes.decays.map((one) => 1.1 * C.abs(one)));
  plane.begin({
    x: { domain: [-size, size], label: "real part" },
    y: { domain: [-size, size], label: "imaginary part" },
    words,
  });
  plane
    .line(
      grid(0, 2 * Math.PI, 181).map((a) => [Math.cos(a), Math.sin(a)]),
      { className: "circle", width: 1.2 },
    )
    .level(0)
    .upright(0, { className: "zero" });
  const top = Math.max(...units.map(rate), 1e-300);
  units.forEach((unit, i) => {
    const isOff = off.includes(i);
    plane.dots(
      unit.map((j) => modes.decays[j]),
      {
        name: `mode ${i + 1}`,
        className: `${isOff ? "open" : ""} ${i === view.mode ? "chosen" : ""}`,
        color: isOff ? "none" : COLOR,
        radius: 4 + 9 * Math.sqrt(rate(unit) / top),
        opacity: i === view.mode ? 1 : 0.75,
      },
    );
  });
}

/** Runs of the linear optimizer with all modes and with those that are kept; returns how far each gets. */
function drawRun(chart, modes, left, words) {
  const curvature = curvatureOf(subject());
  const [whole, kept] = [modes, left].map((one) =>
    one.descend([1], NUM_RUN, (x) => [curvature * x[0]]).map(([x]) => x),
  );
  const cut = (values) => values.map((x) => Math.max(-4, Math.min(4, x)));
  chart.begin({
    x: { domain: [0, NUM_RUN], label: "step" },
    y: { domain: extent([...cut(whole), ...cut(kept)]), label: "distance" },
    words,
  });
  chart.level(0).line(steps(whole), { name: "all modes", className: "past", width: 4, opacity: 0.5 });
  chart.line(steps(kept), { name: "modes that are kept", color: COLOR });
  const edge = edgeOf(left, modes);
  const stable = edge ? `stable up to a curvature of ${show(edge)}` : "no edge near";
  return `With the modes that are kept: ${stable}; at curvature ${show(curvature)} it is ${show(Math.abs(kept.at(-1)))} away after ${kept.length - 1} steps from 1 (all modes: ${show(Math.abs(whole.at(-1)))}).`;
}

/** The first edge of stability of what is left of some modes, kept until others are left. */
let edgeKept = {};
function edgeOf(left, modes) {
  if (edgeKept.modes !== modes || edgeKept.off !== view.off) {
    const rate = Math.abs(left.direct + left.rates.reduce((sum, [re]) => sum + re, 0)) || 1;
    const [edge] = left.stability(decades(1e-3 / rate, 1e4 / rate, 90)).edges;
    edgeKept = { modes, off: view.off, edge };
  }
  return edgeKept.edge;
}
