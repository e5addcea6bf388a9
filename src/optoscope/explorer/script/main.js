// Puts the page together.

import { choice, element, LOGARITHMIC, show, slider } from "./controls.js";
import { compareRoom, landscapesRoom } from "./meeting.js";
import { modesRoom, scheduleRoom, settingsRoom, stabilityRoom, statesRoom, updateRoom } from "./rooms.js";
import { applyView, largest, subject, subjects } from "./subjects.js";
import { change, readAddress, view, watch } from "./view.js";

const rooms = [
  updateRoom(),
  statesRoom(),
  modesRoom(),
  stabilityRoom(),
  landscapesRoom(),
  scheduleRoom(),
  settingsRoom(),
  compareRoom(),
];

const bar = document.getElementById("bar");
const about = document.getElementById("about");
const who = choice("Optimizer", {
  options: () => subjects.map(({ name, index }) => [index, name]),
  read: () => subject().index,
  write: (index) => change({ who: Number(index), mode: 0, off: "", curvature: 0 }),
});
const scale = slider("Largest gradient shown", {
  scale: LOGARITHMIC(1e-4, 1e4),
  read: () => view.largest,
  write: (x) => change({ largest: x }),
  unit: () => show(largest()),
});
bar.append(who, scale);
const ways = document.getElementById("ways");
for (const { id, node } of rooms) {
  ways.append(
    element(
      "li",
      {},
      element(
        "a",
        {
          href: `#${id}`,
          onclick: (event) => {
            event.preventDefault(); // the address holds the view
            node.scrollIntoView({
              behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
            });
            node.querySelector("input, select, button")?.focus({ preventScroll: true });
          },
        },
        node.querySelector("h2").textContent,
      ),
    ),
  );
}
document.getElementById("rooms").append(...rooms.map(({ node }) => node));

function describe() {
  const { name, summary, runs_as, explained, formula, parts, task, num_states } = subject();
  about.replaceChildren(
    element("h2", {}, name),
    element("p", { class: "summary" }, `${summary}.`),
    element(
      "p",
      {},
      `This page runs ${runs_as}. ${num_states} state ${num_states === 1 ? "variable" : "variables"}${task ? `; task ${task.replaceAll("_", " ")}` : ""}.`,
    ),
    element(
      "details",
      {},
      element("summary", {}, "As a formula"),
      element("p", {}, `Put together from what was found; it gives ${(100 * explained).toFixed(1)}% of the updates.`),
      element("pre", {}, formula),
      element("ul", {}, ...parts.map((part) => element("li", {}, part))),
    ),
  );
}

/** Rooms that nobody sees are drawn when they come into sight. */
const seen = new Set();
let described = null;
function render() {
  applyView();
  who.update();
  scale.update();
  if (described !== subject()) {
    described = subject();
    describe();
  }
  for (const room of rooms) if (seen.has(room.node)) room.render();
  for (const room of rooms) if (!seen.has(room.node)) room.isStale = true;
}
const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) seen.add(target);
      else seen.delete(target);
      const room = rooms.find(({ node }) => node === target);
      if (isIntersecting && room.isStale !== false) {
        room.isStale = false;
        applyView();
        room.render();
      }
    }
  },
  { rootMargin: "300px" },
);

readAddress();
render();
for (const { node } of rooms) sight.observe(node);
watch(render);
addEventListener("hashchange", () => {
  readAddress();
  change({});
});
addEventListener("resize", () => requestAnimationFrame(drawAll));
/** Also what nobody sees yet, for those who print or search. */
function drawAll() {
  applyView();
  for (const room of rooms) {
    room.isStale = false;
    room.render();
  }
}
setTimeout(() => {
  drawAll();
  document.body.dataset.ready = "yes";
}, 50);
