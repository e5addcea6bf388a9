// Puts the page together.

import { button, choice, element, LOGARITHMIC, show, slider } from "./controls.js";
import { known } from "./known.js";
import { compareRoom } from "./rooms/compare.js";
import { formulaRoom } from "./rooms/formula.js";
import { landscapesRoom } from "./rooms/landscapes.js";
import { ledgerRoom } from "./rooms/ledger.js";
import { modesRoom } from "./rooms/modes.js";
import { runRoom } from "./rooms/run.js";
import { scheduleRoom } from "./rooms/schedule.js";
import { settingsRoom } from "./rooms/settings.js";
import { stabilityRoom } from "./rooms/stability.js";
import { statesRoom } from "./rooms/states.js";
import { updateRoom } from "./rooms/update.js";
import { applyView, largest, ledger, run, subject, subjects } from "./subjects.js";
import { address, change, readAddress, view, watch } from "./view.js";

readAddress();
const rooms = [
  ...(run ? [runRoom()] : []),
  updateRoom(),
  statesRoom(),
  modesRoom(),
  stabilityRoom(),
  landscapesRoom(),
  scheduleRoom(),
  settingsRoom(),
  compareRoom(),
  formulaRoom(),
  ...(ledger ? [ledgerRoom()] : []),
].filter(({ id }) => !view.only || view.only.split(" ").includes(id));
const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

const who = choice("Optimizer", {
  options: () => subjects.map(({ name, index }) => [index, name]),
  read: () => subject().index,
  write: (index) => change({ who: Number(index), mode: 0, off: "", curvature: 0 }),
});
const scale = slider("Largest gradient", {
  scale: LOGARITHMIC(1e-4, 1e4),
  read: () => view.largest,
  write: (x) => change({ largest: x }),
  unit: () => show(largest()),
});
const link = button("Copy link", async () => {
  const text = location.href.replace(/#.*$/, "") + address();
  try {
    await navigator.clipboard.writeText(text);
    link.textContent = "Copied";
  } catch {
    location.hash = address(); // no clipboard here: the address bar has it
    link.textContent = "In the address";
  }
  setTimeout(() => (link.textContent = "Copy link"), 1500);
});
document.getElementById("bar").append(who, scale, link);

const ways = document.getElementById("ways");
function goTo(room, isFocused) {
  room.node.scrollIntoView({ behavior: isFocused && !isCalm() ? "smooth" : "auto" });
  if (isFocused) room.node.querySelector("input, select, button, [tabindex]")?.focus({ preventScroll: true });
}
for (const room of rooms) {
  const go = (event) => {
    event.preventDefault(); // the address holds the view
    change({ room: room.id });
    goTo(room, true);
  };
  ways.append(element("li", {}, element("a", { href: `#room=${room.id}`, onclick: go }, room.title)));
}
document.getElementById("rooms").append(...rooms.map(({ node }) => node));
if (view.only) {
  document.body.classList.add("alone");
  const whole = element("a", { href: location.href.replace(/#.*$/, ""), target: "_blank" }, "Open the whole page");
  document.querySelector("footer").replaceChildren(whole);
  const keep = () => (whole.href = location.href.replace(/#.*$/, "") + address({ only: "" }));
  whole.addEventListener("pointerdown", keep);
  whole.addEventListener("focus", keep);
}

const about = document.getElementById("about");
const name = element("h2", {});
const summary = element("p", { class: "summary" });
const facts = element("p", { class: "facts" });
about.append(name, summary, facts);
function describe() {
  const one = subject();
  const { summary: words, isLive } = known(one);
  const states = `${one.num_states} state ${one.num_states === 1 ? "variable" : "variables"}`;
  const task = one.task ? `; task ${one.task.replaceAll("_", " ")}` : "";
  const texts = [
    [name, one.name],
    [summary, isLive ? `As moved: ${words}.` : `${words[0].toUpperCase()}${words.slice(1)}.`],
    [facts, `This page runs ${one.runs_as}. ${states}${task}.`],
  ];
  for (const [node, text] of texts) if (node.textContent !== text) node.textContent = text;
}

/** Rooms that nobody sees are drawn when they come into sight. */
const seen = new Set();
let count = 0;
function render() {
  document.body.dataset.view = ++count; // how often: whoever waits for a view can tell
  applyView();
  who.update();
  scale.update();
  describe();
  for (const room of rooms) {
    room.isStale = !seen.has(room.node);
    if (!room.isStale) renderNow(room);
  }
}
function renderNow(room) {
  room.isStale = false;
  room.render();
  room.node.dataset.view = count;
}
const sight = new IntersectionObserver(
  (entries) => {
    applyView();
    for (const { target, isIntersecting } of entries) {
      const room = rooms.find(({ node }) => node === target);
      if (!isIntersecting) seen.delete(target);
      else if (seen.add(target) && room.isStale) renderNow(room);
    }
    document.body.dataset.drawn ||= performance.now();
  },
  { rootMargin: "300px" },
);

render();
for (const { node } of rooms) sight.observe(node);
watch(render);
addEventListener("hashchange", () => {
  readAddress();
  change({});
});
let drawnWidth = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === drawnWidth) return; // a phone's bars come and go
  drawnWidth = innerWidth;
  for (const room of rooms) {
    room.isStale = true;
    room.refit();
  }
  requestAnimationFrame(drawRest);
});

/** Draw, one by one, what nobody sees yet: for those who print, search or jump. */
function drawRest() {
  const next = rooms.find((room) => room.isStale);
  if (next) {
    applyView();
    renderNow(next);
    setTimeout(drawRest);
    return;
  }
  if (document.body.dataset.ready) return;
  document.body.dataset.ready = performance.now();
  const wanted = rooms.find(({ id }) => id === view.room);
  if (wanted && !view.only) goTo(wanted, false);
}
setTimeout(drawRest, 30);
