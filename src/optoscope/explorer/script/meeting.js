// The rooms in which optimizers meet: a race on a landscape, and a comparison on the same gradients.

import { contours, geoPath, range } from "d3";
import { extent } from "./chart.js";
import { choice, element, LINEAR, LOGARITHMIC, show, slider, tick, WHOLE } from "./controls.js";
import { Room } from "./room.js";
import { colorOf, landscapes, largest, normal, NUM_STEPS, other, subject, subjects } from "./subjects.js";
import { change, listOf, textOf, view } from "./view.js";

const MOST = 4;
const steps = (values) => values.map((y, n) => [n, y]);

/** Numbers of those that race: those that were chosen, else the first ones and the one that is looked at. */
const racers = () => {
  const chosen = listOf(view.racers).filter((i) => subjects[i]);
  return chosen.length ? chosen : [...new Set([subject().index, ...subjects.map(({ index }) => index)])].slice(0, MOST);
};

export function landscapesRoom() {
  const room = new Room(
    "landscapes",
    "Landscapes",
    "Drop a start and let up to four optimizers race from it, tuned ones beside learned ones. Click or drag in the picture.",
  );
  const field = () => landscapes[view.landscape] ?? landscapes.quadratic;
  const start = () => [view.x ?? field().start[0], view.y ?? field().start[1]];
  const [xSlider, ySlider] = [0, 1].map((axis) =>
    slider(["Start, x", "Start, y"][axis], {
      scale: () => LINEAR(field().window[2 * axis], field().window[2 * axis + 1]),
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
      write: (landscape) => change({ landscape, x: null, y: null }),
    }),
    condition,
    sharpness,
    xSlider,
    ySlider,
    slider("Noise on gradients", { scale: LINEAR(0, 1), read: () => view.jitter, write: (x) => change({ jitter: x }) }),
    slider("Steps", { scale: WHOLE(1, 2000), read: () => view.race, write: (x) => change({ race: x }) }),
  );
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
  room.add(list);
  const map = room
    .picture("Where they go; lines of equal loss are spaced evenly in its logarithm.", { height: 420 })
    .onDrag((x, y) => {
      const [left, right, low, high] = field().window;
      change({ x: Math.max(left, Math.min(right, x)), y: Math.max(low, Math.min(high, y)) });
    });
  const losses = room.picture("Loss, step by step.", { height: 260 });
  room.draw = () => {
    const { runs, window, has_condition, has_curvature } = field();
    condition.hidden = !has_condition;
    sharpness.hidden = !has_curvature;
    runs.inputs.condition[0] = view.condition;
    runs.inputs.curvature[0] = view.sharpness;
    const at = (x, y) => {
      runs.inputs.x[0] = x;
      runs.inputs.x[1] = y;
      const [gradient, loss] = runs.run();
      return { gradient, loss: loss[0] };
    };
    const [left, right, low, high] = window;
    const paths = racers().map((index, place) => {
      const draw = normal(11);
      const path = subjects[index].runs.descend(start(), view.race, (x) => {
        const { gradient } = at(x[0], x[1]);
        return Array.from(gradient, (g) => g + view.jitter * draw());
      });
      return { one: subjects[index], color: colorOf(place), path, losses: path.map(([x, y]) => at(x, y).loss) };
    });
    const ends = paths.map(
      ({ one, losses: l }) => `${one.name} ${show(l.at(-1))}${l.length <= view.race ? " (blew up)" : ""}`,
    );
    const words = `Loss after ${view.race} steps from (${start().map(show).join(", ")}), where it is ${show(at(...start()).loss)}: ${ends.join("; ")}.`;
    map.begin({ x: { domain: [left, right], label: "x" }, y: { domain: [low, high], label: "y" }, words });
    drawContours(map, window, (x, y) => at(x, y).loss);
    for (const { one, path, color } of paths) {
      map.line(
        path.map(([x, y]) => [x, y]),
        { name: one.name, color, width: 2 },
      );
      map.dots([path.at(-1)], { color, radius: 5 });
    }
    map.dots([start()], { name: "start", className: "open", radius: 7 });
    const finite = paths.flatMap(({ losses: l }) => l).filter((x) => Number.isFinite(x) && x > 0);
    const bottom = Math.max(Math.min(...finite), 1e-16);
    const isLog = finite.length > 0 && paths.every(({ losses: l }) => l.every((x) => !(x < 0)));
    const domain = isLog
      ? [bottom / 1.5, Math.min(Math.max(...finite), 1e6 * paths[0].losses[0] || 1) * 1.5]
      : extent(
          paths.flatMap(({ losses: l }) => l),
          { most: 1e6 },
        );
    losses.begin({ x: { domain: [0, view.race], label: "step" }, y: { domain, label: "loss", log: isLog }, words });
    paths.forEach(({ one, color, losses: l }) => losses.line(steps(l), { name: one.name, color }));
    room.say(words);
  };
  return room;
}

function drawContours(chart, [left, right, low, high], lossAt) {
  const [columns, rows] = [90, 70];
  const values = [];
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++)
      values.push(lossAt(left + ((right - left) * (i + 0.5)) / columns, low + ((high - low) * (j + 0.5)) / rows));
  }
  const base = Math.min(...values);
  const heights = values.map((x) => Math.log10(x - base + 1e-6 * (Math.max(...values) - base) + 1e-300));
  const [bottom, top] = [Math.min(...heights), Math.max(...heights)];
  const place = (point) => [
    chart.x(left + ((right - left) * point[0]) / columns),
    chart.y(low + ((high - low) * point[1]) / rows),
  ];
  const path = geoPath();
  for (const contour of contours()
    .size([columns, rows])
    .thresholds(range(1, 16).map((i) => bottom + ((top - bottom) * i) / 16))(heights)) {
    const coordinates = contour.coordinates.map((polygon) => polygon.map((ring) => ring.map(place)));
    chart.body
      .append("path")
      .attr("class", "contour")
      .attr("d", path({ type: "MultiPolygon", coordinates }));
  }
}

const SIGNALS = {
  constant: ["a constant gradient", (size) => () => size],
  alternating: ["an alternating gradient", (size) => (n) => (n % 2 ? -size : size)],
  impulse: ["one gradient, then none", (size) => (n) => (n ? 0 : size)],
  turn: ["a gradient that turns halfway", (size) => (n) => (n < NUM_STEPS / 2 ? size : -size)],
  ramp: ["a gradient that grows from nothing", (size) => (n) => (size * n) / NUM_STEPS],
  normal: [
    "normal gradients",
    (size) => {
      const draw = normal(5);
      return () => size * draw();
    },
  ],
};
/** Share of the largest update by which two must differ to have parted. */
const PARTED = 0.01;

export function compareRoom() {
  const room = new Room(
    "compare",
    "Compare",
    "Two optimizers on the same gradients, over each other, and where they part.",
  );
  room.add(
    choice("Other optimizer", {
      options: () => subjects.map(({ name, index }) => [index, name]),
      read: () => other().index,
      write: (i) => change({ other: Number(i) }),
    }),
    choice("Gradients", {
      options: () => Object.entries(SIGNALS).map(([name, [label]]) => [name, label]),
      read: () => view.signal,
      write: (signal) => change({ signal }),
    }),
    slider("Their size", {
      scale: LOGARITHMIC(1e-4, 1),
      read: () => view.size,
      write: (size) => change({ size }),
      unit: () => show(view.size * largest()),
    }),
  );
  const chart = room.picture("Updates of both; below, the difference.", { height: 300 });
  const rest = room.picture("Difference.", { height: 160 });
  room.draw = () => {
    const [first, second] = [subject(), other()];
    const [label, make] = SIGNALS[view.signal] ?? SIGNALS.normal;
    const gradient = make(view.size * largest());
    const gradients = Array.from({ length: NUM_STEPS }, (_, n) => gradient(n));
    const [a, b] = [first, second].map(({ runs }) => runs.drive(gradients).updates);
    const difference = a.map((x, n) => x - b[n]);
    const top = Math.max(...a.map(Math.abs), ...b.map(Math.abs));
    const parting = difference.findIndex((x) => !(Math.abs(x) <= PARTED * top));
    const words =
      first === second
        ? "This is one optimizer, twice; choose another one."
        : parting < 0
          ? `On ${label} they stay within ${100 * PARTED}% of the largest update.`
          : `On ${label} they part at step ${parting}: ${first.name} ${show(a[parting])}, ${second.name} ${show(b[parting])}.`;
    const x = { domain: [0, NUM_STEPS], label: "step" };
    chart.begin({ x, y: { domain: extent([...a, ...b]), label: "update" }, words });
    chart.level(0).line(steps(a), { name: first.name, color: colorOf(0), width: 3, opacity: 0.7 });
    chart.line(steps(b), { name: second.name, color: colorOf(1), dash: "5 3", width: 1.8 });
    if (parting >= 0) chart.upright(parting, { text: "they part" });
    rest.begin({ x, y: { domain: extent(difference), label: "difference" }, words });
    rest.level(0).line(steps(difference), { name: "difference", className: "past" });
    room.say(words);
  };
  return room;
}
