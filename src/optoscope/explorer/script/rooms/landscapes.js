// Landscapes: losses of two parameters, and of matrices, on which optimizers race.

import { contours, geoPath, range } from "d3";
import { extent } from "../chart.js";
import { choice, element, LINEAR, LOGARITHMIC, show, slider, tick, WHOLE } from "../controls.js";
import { clamp, normal, steps } from "../numbers.js";
import { Room } from "../room.js";
import { colorOf, landscapes, subject, subjects } from "../subjects.js";
import { change, listOf, textOf, view } from "../view.js";

const MOST = 4;

/** Numbers of those that race: those that were chosen, else the first ones and the one that is looked at. */
const racers = () => {
  const chosen = listOf(view.racers).filter((i) => subjects[i]);
  return chosen.length ? chosen : [...new Set([subject().index, ...subjects.map(({ index }) => index)])].slice(0, MOST);
};
const field = () => landscapes[view.landscape] ?? landscapes.quadratic;
const start = () => (field().window ? [view.x ?? field().start[0], view.y ?? field().start[1]] : field().start);
const noise = () => view.jitter ?? field().noise;

export function landscapesRoom() {
  const room = new Room(
    "landscapes",
    "Landscapes",
    "Drop a start and let up to four optimizers race from it, tuned ones beside learned ones. Click or drag in the picture.",
    ["landscape", "condition", "sharpness", "x", "y", "jitter", "race", "racers"],
  );
  const [xSlider, ySlider] = [0, 1].map((axis) =>
    slider(["Start, x", "Start, y"][axis], {
      scale: () => LINEAR(...(field().window ?? [0, 1, 0, 1]).slice(2 * axis, 2 * axis + 2)),
      read: () => start()[axis],
      write: (value) => change({ [["x", "y"][axis]]: value }),
    }),
  );
  const condition = slider("Condition number", {
    scale: LOGARITHMIC(1, 1e4),
    read: () => view.condition,
    write: (x) => change({ condition: x }),
  });
  const sharpness = slider("Largest curvature", {
    scale: LOGARITHMIC(1e-3, 1e3),
    read: () => view.sharpness,
    write: (x) => change({ sharpness: x }),
  });
  room.add(
    choice("Landscape", {
      options: () => Object.entries(landscapes).map(([name, { label }]) => [name, label]),
      read: () => view.landscape,
      write: (landscape) => change({ landscape, x: null, y: null, jitter: null }),
    }),
    condition,
    sharpness,
    xSlider,
    ySlider,
    slider("Noise on gradients", { scale: LINEAR(0, 1), read: noise, write: (x) => change({ jitter: x }) }),
    slider("Steps", { scale: WHOLE(1, 2000), read: () => view.race, write: (x) => change({ race: x }) }),
    racersList(),
  );
  const map = room
    .picture("Where they go; lines of equal loss are spaced evenly in its logarithm.", { height: 400 })
    .onDrag((x, y) => {
      const [left, right, low, high] = field().window;
      change({ x: clamp(x, left, right), y: clamp(y, low, high) });
    });
  const losses = room.picture("Loss, step by step.", { height: 240 });
  room.draw = () => {
    const { has_condition, has_curvature, window, runs } = field();
    condition.hidden = !has_condition;
    sharpness.hidden = !has_curvature;
    map.figure.hidden = xSlider.hidden = ySlider.hidden = !window;
    if (has_condition) runs.inputs.condition[0] = view.condition;
    if (has_curvature) runs.inputs.curvature[0] = view.sharpness;
    const runners = racers().map((index, place) => race(subjects[index], colorOf(place)));
    const there = runners.filter(({ path }) => path);
    const words = inWords(runners);
    if (window) drawMap(map, there, words);
    drawLosses(losses, there, words);
    room.say(words);
  };
  return room;
}

function racersList() {
  const list = element("fieldset", {}, element("legend", {}, `Who races (${MOST} at most)`));
  for (const one of subjects) {
    list.append(
      tick(one.name, {
        color: () => colorOf(racers().indexOf(one.index)),
        read: () => racers().includes(one.index),
        write: (isIn) => {
          const now = racers().filter((i) => i !== one.index);
          change({ racers: textOf(isIn ? [...now.slice(-(MOST - 1)), one.index].sort((a, b) => a - b) : now) });
        },
      }),
    );
  }
  list.update = () => [...list.children].forEach((node) => node.update?.());
  return list;
}

function lossAt(x) {
  const { runs } = field();
  runs.inputs.x.set(x);
  const [gradient, loss] = runs.run();
  return { gradient, loss: loss[0] };
}

/** One optimizer's path and losses; no path where it cannot run here. */
function race(one, color) {
  const draw = normal(11);
  const gradientAt = (x) => Array.from(lossAt(x).gradient, (g) => g + noise() * draw());
  const runner = field().window ? one.runs : one.on_matrices;
  const path = runner?.descend(start(), view.race, gradientAt);
  return { one, color, path, losses: path?.map((x) => lossAt(x).loss) };
}

function inWords(runners) {
  const ends = runners.map(({ one, losses }) => {
    if (!losses) return `${one.name} cannot run on matrices here`;
    return `${one.name} ${show(losses.at(-1))}${losses.length <= view.race ? " (blew up)" : ""}`;
  });
  const from = field().window ? ` from (${start().map(show).join(", ")})` : "";
  return `Loss after ${view.race} steps${from}, where it is ${show(lossAt(start()).loss)}: ${ends.join("; ")}.`;
}

function drawMap(map, runners, words) {
  const [left, right, low, high] = field().window;
  map.begin({ x: { domain: [left, right], label: "x" }, y: { domain: [low, high], label: "y" }, words });
  drawContours(map, field().window, (x, y) => lossAt([x, y]).loss);
  for (const { one, path, color } of runners) {
    map.line(
      path.map(([x, y]) => [x, y]),
      { name: one.name, color, width: 2 },
    );
    map.dots([path.at(-1)], { color, radius: 5 });
  }
  map.dots([start()], { name: "start", className: "open handle", radius: 8 });
}

function drawLosses(chart, runners, words) {
  const all = runners.flatMap(({ losses }) => losses);
  const positive = all.filter((x) => Number.isFinite(x) && x > 0);
  const isLog = positive.length > 0 && all.every((x) => !(x < 0));
  const top = Math.min(Math.max(...positive), 1e6 * (runners[0]?.losses[0] || 1));
  const domain = isLog ? [Math.max(Math.min(...positive), 1e-16) / 1.5, top * 1.5] : extent(all, { most: 1e6 });
  chart.begin({ x: { domain: [0, view.race], label: "step" }, y: { domain, label: "loss", log: isLog }, words });
  for (const { one, color, losses } of runners) chart.line(steps(losses), { name: one.name, color });
}

function drawContours(chart, [left, right, low, high], valueAt) {
  const [columns, rows] = [90, 70];
  chart.under([view.landscape, view.condition, view.sharpness].join(" "), (ground) => {
    const values = range(rows * columns).map((i) =>
      valueAt(
        left + ((right - left) * ((i % columns) + 0.5)) / columns,
        low + ((high - low) * (Math.floor(i / columns) + 0.5)) / rows,
      ),
    );
    const [base, most] = [Math.min(...values), Math.max(...values)];
    const heights = values.map((x) => Math.log10(x - base + 1e-6 * (most - base) + 1e-300));
    const [bottom, top] = [Math.min(...heights), Math.max(...heights)];
    const levels = range(1, 16).map((i) => bottom + ((top - bottom) * i) / 16);
    const place = ([x, y]) => [
      chart.x(left + ((right - left) * x) / columns),
      chart.y(low + ((high - low) * y) / rows),
    ];
    const path = geoPath();
    const found = contours().size([columns, rows]).thresholds(levels)(heights);
    found.forEach((contour, level) => {
      const coordinates = contour.coordinates.map((polygon) => polygon.map((ring) => ring.map(place)));
      ground
        .append("path")
        .attr("class", "contour")
        .attr("fill-opacity", 0.03 * (1 - level / found.length))
        .attr("d", path({ type: "MultiPolygon", coordinates }));
    });
  });
}
