// The state space: runs, fixed points, and what a gradient that goes slowly up and down leaves behind.

import { extent } from "../chart.js";
import { LOGARITHMIC, show, slider, tick } from "../controls.js";
import { fixedPoints, known } from "../known.js";
import { grid } from "../numbers.js";
import { Room } from "../room.js";
import { pastSliders } from "../shared.js";
import { COLOR, constantRun, largest, NUM_STEPS, past, subject } from "../subjects.js";
import { change, view } from "../view.js";

/** Constant gradients whose runs are drawn, as shares of the largest. */
const SHARES = [-1, -0.3, -0.1, 0.1, 0.3, 1];
/** Share of the largest gradient by which the curve may pass its ends, through rounding. */
const ROUNDING = 1.001;
/** Places at which a moved rule's curve is computed. */
const NUM_FIXED = 41;

export function statesRoom() {
  const room = new Room(
    "states",
    "State space",
    "Where its memory goes. A constant gradient pulls the state to a fixed point; drag along to change that gradient, or choose a step.",
    ["past", "n", "sweep"],
  );
  const slowness = slider("Steps from one end to the other", {
    scale: LOGARITHMIC(10, 2000),
    read: () => view.sweep || 200,
    write: (x) => change({ sweep: Math.round(x) }),
    unit: (x) => String(Math.round(x)),
  });
  room.add(
    ...pastSliders(),
    tick("Hysteresis: let the gradient go up and down", {
      read: () => view.sweep > 0,
      write: (isOn) => change({ sweep: isOn ? 200 : 0 }),
    }),
    slowness,
  );
  const chart = room.picture(
    "States in the two directions in which they vary most: runs from the start, and the curve of fixed points over all constant gradients (dashed where they repel).",
    { height: 380 },
  );
  const loop = room.picture("The first component, with a gradient that goes up (line) and down again (dashed).", {
    height: 240,
  });
  let runsSeen = [];
  chart.onDrag((x, y) => {
    const [wx, wy] = [chart.x.domain(), chart.y.domain()].map(([low, high]) => high - low);
    const far = ([px, py]) => ((px - x) / wx) ** 2 + ((py - y) / wy) ** 2;
    const all = runsSeen.flatMap(({ share, points }) => points.map((point, n) => ({ d: far(point), share, n })));
    const best = all.reduce((nearest, one) => (one.d < nearest.d ? one : nearest), { d: Infinity });
    if (best.d < Infinity) change({ past: best.share, n: best.n });
  });
  room.draw = () => {
    const one = subject();
    slowness.hidden = !view.sweep;
    loop.figure.hidden = !view.sweep;
    if (room.missing(one.states.reason)) return;
    const { axes, shares } = one.states;
    const isFlat = axes.length < 2;
    const place = placeOf(one);
    const G = largest();
    runsSeen = [...new Set([...SHARES, view.past])].map((share) => {
      const { states } = constantRun(one, share * G);
      return { share, points: states.map((h) => place(h, share * G)) };
    });
    const fixed = branchOf(one, place).filter(({ gradient }) => Math.abs(gradient) <= G * ROUNDING);
    const swept = view.sweep ? sweepOf(one, place, G) : null;
    const every = [...runsSeen.flatMap(({ points }) => points), ...fixed.map(({ point }) => point)];
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
      const about = { name: `run, gradient ${show(share * G)}`, className: "past", width: 1.2, opacity: 0.6 };
      if (share !== view.past) chart.line(points, about);
    }
    drawBranch(chart, fixed);
    if (swept) {
      chart.line(swept.up, { name: "gradient goes up", color: "var(--series2)", width: 2 });
      chart.line(swept.down, { name: "gradient goes down", color: "var(--series2)", dash: "5 4", width: 2 });
      drawLoop(loop, swept, shares);
    }
    chart.line(now, { name: "this run", color: COLOR, width: 2.5 });
    const crossings = crossingsOf(fixed, past());
    chart.dots(crossings, { name: "fixed point of this gradient", className: "open", radius: 8 });
    chart.dots([now[view.n]], { name: "here", className: "handle", color: COLOR, radius: 7 });
    const { branch } = one.states;
    const why = branch.reason
      ? `No curve of fixed points: ${branch.reason}`
      : `Fixed points of this gradient: ${crossings.length}.`;
    room.say([words, why, swept?.words].filter(Boolean).join(" "));
  };
  return room;
}

/** From states to their places in the picture; where there is one component, the gradient is the other direction. */
function placeOf({ states: { mean, axes } }) {
  return (h, g) => {
    const [first, second] = axes.map((axis) => axis.reduce((sum, a, i) => sum + a * (h[i] - mean[i]), 0));
    return [first, axes.length < 2 ? g : second];
  };
}

/** The curve of fixed points, as it was found, or as it is with the settings that were moved. */
function branchOf(one, place) {
  const { branch } = one.states;
  if (known(one).isLive) {
    const gradients = grid(-largest(), largest(), NUM_FIXED);
    return fixedPoints(one.runs, gradients).flatMap((h, i) =>
      h ? [{ gradient: gradients[i], point: place(h, gradients[i]), isAttracting: true }] : [],
    );
  }
  return (branch.gradients ?? []).map((gradient, i) => {
    const [first, second] = branch.places[i];
    const point = [first, one.states.axes.length < 2 ? gradient : second];
    return { gradient, point, isAttracting: branch.attracting[i] };
  });
}

function drawBranch(chart, fixed) {
  for (const isAttracting of [true, false]) {
    const part = fixed.map(({ point, isAttracting: own }, i) => {
      const isNear = own === isAttracting || (!isAttracting && [fixed[i - 1], fixed[i + 1]].some((x) => x && !x.isAttracting));
      return isNear ? point : [NaN, NaN];
    });
    chart.line(part, {
      name: isAttracting ? "fixed points that attract" : "fixed points that repel",
      className: "branch",
      dash: isAttracting ? null : "3 4",
      width: 2.5,
    });
  }
}

/** Where the curve passes a gradient. */
function crossingsOf(fixed, g) {
  return fixed.flatMap(({ gradient, point }, i) => {
    const next = fixed[i + 1];
    if (!next || (gradient - g) * (next.gradient - g) > 0 || gradient === next.gradient || next.gradient === g) return [];
    const t = (g - gradient) / (next.gradient - gradient);
    return [point.map((x, axis) => x + t * (next.point[axis] - x))];
  });
}

/** A gradient that rests at its lowest, goes up, and down again. */
function sweepOf(one, place, G) {
  const rising = grid(-G, G, view.sweep);
  let h = one.runs.after(-G, NUM_STEPS);
  const go = (gradients) => {
    const { states } = one.runs.drive(gradients, h);
    h = states.at(-1);
    return gradients.map((g, n) => [...place(states[n + 1], g), g]);
  };
  const [up, down] = [go(rising), go([...rising].reverse())];
  const all = [...up, ...down].map(([x]) => x);
  const range = Math.max(...all) - Math.min(...all);
  const gaps = up.map(([x], i) => Math.abs(x - down[down.length - 1 - i][0]));
  const gap = Math.max(...gaps);
  const where = rising[gaps.indexOf(gap)];
  const words = range
    ? `Up and down, the way differs by ${((100 * gap) / range).toFixed(1)}% of its range, most at a gradient of ${show(where)}; slow it down: a lag vanishes, hysteresis stays.`
    : "";
  return { up, down, words };
}

function drawLoop(chart, { up, down, words }, shares) {
  const along = (points) => points.map(([x, , g]) => [g, x]);
  chart.begin({
    x: { domain: [-largest(), largest()], label: "gradient" },
    y: { domain: extent([...up, ...down].map(([x]) => x)), label: `first component (${(100 * shares[0]).toFixed(0)}%)` },
    words,
  });
  chart.line(along(up), { name: "up", color: "var(--series2)" });
  chart.line(along(down), { name: "down", color: "var(--series2)", dash: "5 4" });
}
