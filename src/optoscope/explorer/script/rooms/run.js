// My run: a recording's timeline, its margin, its layers.

import { extent } from "../chart.js";
import { element, show, slider, WHOLE } from "../controls.js";
import { clamp } from "../numbers.js";
import { Room } from "../room.js";
import { COLOR, run } from "../subjects.js";
import { change, view } from "../view.js";

export function runRoom() {
  const room = new Room("run", "My run", `What was recorded of ${run.optimizer}: ${run.rule}.`, ["moment"]);
  const { steps } = run;
  const last = steps.length - 1;
  const at = () => clamp(Math.round(view.moment * last), 0, last);
  room.add(
    slider("Step", {
      scale: WHOLE(0, last),
      read: at,
      write: (i) => change({ moment: i / Math.max(last, 1) }),
      unit: (i) => String(steps[i]),
    }),
  );
  room.controls.append(
    element(
      "ul",
      { class: "findings" },
      ...run.findings.map(({ weight, sentence }) =>
        element("li", { class: weight }, element("strong", {}, weight), `: ${sentence}.`),
      ),
    ),
  );
  const nearest = (x) => steps.reduce((best, step, i) => (Math.abs(step - x) < Math.abs(steps[best] - x) ? i : best), 0);
  const drag = (x) => change({ moment: nearest(x) / Math.max(last, 1) });
  const timeline = (key, caption, options = {}) =>
    run[key].some(Number.isFinite) ? { key, options, chart: room.picture(caption, { height: 190 }).onDrag(drag) } : null;
  const lines = [
    timeline("losses", "Loss."),
    timeline("gradient_norms", "Norm of the gradient.", { isLog: true }),
    timeline("update_norms", "Norm of the update.", { isLog: true }),
    timeline("rates", "Learning rate."),
    timeline("clip_factors", "What clipping left of the gradient."),
  ].filter(Boolean);
  const margin = run.margins.some(Number.isFinite)
    ? room.picture("Margin: the curvature over the optimizer's own edge; above 1 small displacements grow.", { height: 190 })
    : null;
  const layers = run.layers.length
    ? room.picture("Update over parameter, median over the run, one bar for each array of parameters.", {
        height: 40 + 26 * Math.min(run.layers.length, 30),
      })
    : null;
  room.draw = () => {
    const i = at();
    const values = lines.map(({ key, chart }) => `${chart.caption.toLowerCase().replace(/\.$/, "")} ${show(run[key][i] ?? NaN)}`);
    const words = `Step ${steps[i]}: ${values.join(", ")}.`;
    const x = { domain: [steps[0], steps[last]], label: "step" };
    for (const { key, options, chart } of lines) drawLine(chart, x, key, options, words, steps[i]);
    if (margin) drawMargin(margin, x);
    if (layers) drawLayers(layers);
    const shown = run.num_steps > steps.length ? ` ${steps.length} of ${run.num_steps} steps are shown, evenly spaced.` : "";
    room.say(words + shown);
  };
  return room;
}

function drawLine(chart, x, key, { isLog }, words, step) {
  const values = run[key].map((value) => value ?? NaN);
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  const domain = isLog && positive.length ? [Math.min(...positive) / 1.5, Math.max(...positive) * 1.5] : extent(values);
  chart.begin({ x, y: { domain, label: "", log: isLog && positive.length > 0 }, words });
  chart.line(
    run.steps.map((at, i) => [at, values[i]]),
    { name: key, color: COLOR, width: 1.5 },
  );
  chart.upright(step);
}

function drawMargin(chart, x) {
  const points = run.margin_steps.map((at, i) => [at, run.margins[i]]);
  const left = Number.isFinite(run.steps_left) ? `; at this pace it reaches 1 in ${show(run.steps_left)} steps` : "";
  const words = `The last margin is ${show(run.margin)}${left}.`;
  chart.begin({ x, y: { domain: extent([...points.map(([, y]) => y), 1]), label: "margin" }, words });
  chart.level(1, "edge").line(points, { name: "margin", color: COLOR }).dots(points, { color: COLOR, radius: 3 });
}

function drawLayers(chart) {
  const shown = run.layers.slice(0, 30);
  const finite = shown.map(({ ratio }) => ratio).filter((ratio) => ratio > 0 && Number.isFinite(ratio));
  const domain = finite.length ? [Math.min(...finite) / 3, Math.max(...finite) * 2] : [1e-6, 1];
  const words = `${run.layers.length} arrays of parameters; update over parameter from ${show(Math.min(...finite))} to ${show(Math.max(...finite))}.`;
  chart.begin({ x: { domain, label: "update over parameter", log: true }, y: { domain: [0, shown.length], label: "", ticks: false }, words });
  shown.forEach(({ name, ratio }, i) => {
    const row = shown.length - 1 - i;
    if (ratio > 0) chart.block(domain[0], ratio, row + 0.12, row + 0.88, { name });
    chart.note(domain[0], row + 0.5, `${name} ${show(ratio ?? NaN)}`);
  });
}
