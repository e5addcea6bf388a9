// Stability: a run on a loss of one curvature, and where it stops to settle.

import { extent } from "../chart.js";
import { LINEAR, LOGARITHMIC, show, slider, WHOLE } from "../controls.js";
import { known } from "../known.js";
import { C, clamp, decades, normal, steps } from "../numbers.js";
import { Room } from "../room.js";
import { COLOR, largest, subject } from "../subjects.js";
import { change, view } from "../view.js";

/** Curvatures where nothing is known of any. */
const ANY = [1e-3, 1e3];
/** Curvatures of a map that the page computes, of optimizers with few modes and with many. */
const [NUM_FINE, NUM_COARSE, FEW] = [120, 48, 8];

const boundsOf = (one) => {
  const { curvatures } = known(one).stability;
  return curvatures ? [curvatures[0], curvatures.at(-1)] : ANY;
};
/** The curvature that is looked at: what was chosen, else half of the first edge. */
export const curvatureOf = (one) => {
  const [low, high] = boundsOf(one);
  return view.curvature || (known(one).stability.edges?.[0] ?? Math.sqrt(low * high) * 2) / 2;
};

let kept = {};
/** The map with parameters that shrink: as it was found where they do not. */
function mapOf(stability) {
  if (!view.decay || !stability.modes) return stability;
  if (kept.of !== stability || kept.decay !== view.decay) {
    const number = stability.modes.decays.length > FEW ? NUM_COARSE : NUM_FINE;
    const curvatures = decades(stability.curvatures[0], stability.curvatures.at(-1), number);
    kept = { of: stability, decay: view.decay, map: stability.modes.stability(curvatures, view.decay) };
  }
  return { ...stability, ...kept.map };
}

export function stabilityRoom() {
  const room = new Room(
    "stability",
    "Stability",
    "On a loss of one curvature, does the run settle, ring, circle or blow up? Drag the curvature across an edge.",
    ["curvature", "push", "noise", "clip", "decay", "steps"],
  );
  const pushed = () => view.push * largest();
  const clip = (x) => (view.clip ? show(x * pushed()) : "off");
  room.add(
    slider("Curvature", {
      scale: () => LOGARITHMIC(...boundsOf(subject())),
      read: () => curvatureOf(subject()),
      write: (curvature) => change({ curvature }),
      steps: 400,
    }),
    slider("First gradient", {
      scale: LOGARITHMIC(1e-4, 1),
      read: () => view.push,
      write: (push) => change({ push }),
      unit: () => show(pushed()),
    }),
    slider("Steps", { scale: WHOLE(10, 1000), read: () => view.steps, write: (x) => change({ steps: x }) }),
    slider("Noise on gradients", {
      scale: LINEAR(0, 1),
      read: () => view.noise,
      write: (noise) => change({ noise }),
      unit: () => (view.noise ? show(view.noise * pushed()) : "off"),
    }),
    slider("Clip gradients at", {
      scale: LINEAR(0, 1),
      read: () => view.clip,
      write: (x) => change({ clip: x }),
      unit: () => clip(view.clip),
    }),
    slider("Decay of parameters", {
      scale: LINEAR(0, 0.2),
      read: () => view.decay,
      write: (x) => change({ decay: x }),
      unit: () => (view.decay ? `${show(100 * view.decay)}% a step` : "off"),
    }),
  );
  const map = room
    .picture("How fast a small push grows (above 1) or dies out (below), against curvature. Bars: curvatures of the task.", {
      height: 260,
    })
    .onDrag((c) => change({ curvature: clamp(c, ...boundsOf(subject())) }));
  const run = room.picture("The parameter's distance from where it rests, step by step.", { height: 240 });
  room.draw = () => {
    const one = subject();
    const { stability } = known(one);
    if (room.missing(stability.reason)) return;
    const found = mapOf(stability);
    const c = curvatureOf(one);
    const away = distances(one, stability, c, pushed());
    const at = leadingAt(found, c);
    const words = inWords(c, found.edges, at);
    drawMap(map, { found, curvatures: one.curvatures, c, at, words });
    const shown = Math.max(...away.slice(0, 2).map(Math.abs)) * 6;
    const domain = extent(away.map((x) => clamp(x, -shown, shown)));
    run.begin({ x: { domain: [0, view.steps], label: "step" }, y: { domain, label: "distance" }, words });
    run.level(0).line(steps(away), { name: "distance", color: COLOR });
    const held = stability.is_held ? " The map holds the state's slow part fixed there." : "";
    room.say(`${words} ${endInWords(away)} Linearized ${stability.at}.${held}`);
  };
  return room;
}

function distances({ runs }, stability, c, push) {
  const draw = normal(7);
  const rest = stability.gradient / c;
  const path = runs.descend(
    [rest + push / c],
    view.steps,
    (x) => {
      const g = c * x[0] + view.noise * push * draw();
      return [view.clip ? clamp(g, -view.clip * push, view.clip * push) : g];
    },
    Float64Array.from(stability.state),
    view.decay,
  );
  return path.map(([x]) => x - rest);
}

/** The leading eigenvalue at a curvature, from its neighbor in the map. */
function leadingAt({ curvatures, leading }, c) {
  const far = (i) => Math.abs(Math.log(curvatures[i] / c));
  return leading[curvatures.reduce((best, _, i) => (far(i) < far(best) ? i : best), 0)];
}

function inWords(c, edges, leading) {
  const angle = Math.abs(Math.atan2(leading[1], leading[0]));
  const rings = angle > 1e-6 ? `, turning round every ${show((2 * Math.PI) / angle)} steps` : "";
  const share = edges.length ? `, ${show(c / edges[0])} of the first edge,` : "";
  return `At curvature ${show(c)}${share} a small push changes by a factor of ${show(C.abs(leading))} a step${rings}.`;
}

function endInWords(away) {
  const tail = Math.max(...away.slice(-Math.ceil(away.length / 10)).map(Math.abs));
  if (away.length <= view.steps || !Number.isFinite(tail)) return "The run blows up.";
  return `In the last tenth of the run it is at most ${show(tail)} away; it began ${show(Math.abs(away[0]))} away.`;
}

function drawMap(map, { found, curvatures, c, at, words }) {
  const low = Math.min(...found.radii, 0.9);
  map.begin({
    x: { domain: [found.curvatures[0], found.curvatures.at(-1)], label: "curvature", log: true },
    y: { domain: [Math.max(0, low - 0.05), Math.min(Math.max(...found.radii, 1.05), 2)], label: "growth a step" },
    words,
  });
  if (curvatures.counts) map.bars(curvatures.ends, curvatures.counts, { name: "curvatures of the task (count)" });
  map.level(1, "edge");
  found.edges.forEach((edge, row) => map.upright(edge, { text: `edge ${show(edge)}`, className: "edge", row: row % 4 }));
  map.line(
    found.curvatures.map((x, i) => [x, found.radii[i]]),
    { name: "growth", color: COLOR },
  );
  map.upright(c).dots([[c, C.abs(at)]], { name: "here", className: "handle", color: COLOR, radius: 7 });
}
