// What all rooms have in common: a heading, a sentence, controls, pictures, a reading in words, and downloads.

import { Chart } from "./chart.js";
import { button, element } from "./controls.js";
import { view } from "./view.js";

/** What every picture depends on: which optimizer, the scale of gradients, and its settings. */
const COMMON = ["who", "largest", "settings"];

export class Room {
  /** `depends` names what else in the view its pictures and controls depend on. */
  constructor(id, title, sentence, depends = []) {
    this.id = id;
    this.depends = depends;
    this.title = title;
    this.node = element("section", { id, class: "room", "aria-labelledby": `${id}-title` });
    this.controls = element("div", { class: "controls" });
    this.pictures = element("div", { class: "pictures" });
    this.reading = element("p", { class: "reading" });
    this.node.append(
      element("h2", { id: `${id}-title` }, title),
      element("p", { class: "sentence" }, sentence),
      this.controls,
      this.pictures,
      this.reading,
    );
    this.parts = [];
    this.charts = [];
  }

  add(...controls) {
    this.parts.push(...controls);
    this.controls.append(...controls);
    return this;
  }

  picture(caption, options) {
    const place = element("div", { class: "place" });
    const chart = new Chart(place, options);
    const name = `optoscope-${this.id}${this.pictures.children.length ? `-${this.pictures.children.length + 1}` : ""}`;
    const save = (ending, type, text) => {
      const made = button(ending, () => download(`${name}.${ending.toLowerCase()}`, text(), type));
      made.setAttribute("aria-label", `${ending}: download ${caption}`);
      return made;
    };
    const downloads = element(
      "span",
      { class: "save" },
      save("SVG", "image/svg+xml", () => chart.toFile()),
      save("CSV", "text/csv", () => chart.toTable()),
    );
    chart.figure = element("figure", {}, place, element("figcaption", {}, element("span", {}, caption), downloads));
    chart.caption = caption;
    chart.svg.attr("aria-label", caption);
    this.pictures.append(chart.figure);
    this.charts.push(chart);
    return chart;
  }

  /** Say in words what is seen; pictures give way to a reason where there is nothing to see. */
  say(words) {
    if (this.reading.textContent !== words) this.reading.textContent = words;
  }

  missing(reason) {
    this.pictures.hidden = Boolean(reason);
    if (reason) this.say(`Not for this optimizer: ${reason}`);
    return Boolean(reason);
  }

  /** Draw, unless nothing has changed on which what is drawn depends. */
  render() {
    // Only the room that is being worked in speaks up.
    const live = this.node.contains(document.activeElement) ? "polite" : "off";
    if (this.reading.getAttribute("aria-live") !== live) this.reading.setAttribute("aria-live", live);
    const key = JSON.stringify([...COMMON, ...this.depends].map((name) => view[name]));
    if (key === this.drawn) return;
    this.drawn = key;
    for (const part of this.parts) part.update?.();
    this.draw();
  }

  /** Draw anew whatever has changed, at the width that it has now. */
  refit() {
    this.drawn = null;
    for (const chart of this.charts) chart.refit();
  }
}

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
