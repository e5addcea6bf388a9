// What all rooms have in common: a heading, a sentence, controls, pictures, a reading in words, and downloads.

import { Chart, download } from "./chart.js";
import { button, element } from "./controls.js";

export class Room {
  constructor(id, title, sentence) {
    this.id = id;
    this.node = element("section", { id, class: "room", "aria-labelledby": `${id}-title` });
    this.controls = element("div", { class: "controls" });
    this.pictures = element("div", { class: "pictures" });
    this.reading = element("p", { class: "reading" });
    this.downloads = element("div", { class: "downloads" });
    this.node.append(
      element("h2", { id: `${id}-title` }, title),
      element("p", {}, sentence),
      this.controls,
      this.pictures,
      this.reading,
      this.downloads,
    );
    this.parts = [];
  }

  add(...controls) {
    this.parts.push(...controls);
    this.controls.append(...controls);
    return this;
  }

  picture(caption, options) {
    const place = element("div", { class: "place" });
    const figure = element("figure", {}, place, element("figcaption", {}, caption));
    this.pictures.append(figure);
    const chart = new Chart(place, options);
    chart.figure = figure;
    const name = `optoscope-${this.id}${this.pictures.children.length > 1 ? `-${this.pictures.children.length}` : ""}`;
    const save = (ending, type, text) => {
      const made = button(ending, () => download(`${name}.${ending.toLowerCase()}`, text(), type));
      made.setAttribute("aria-label", `Download ${ending} of: ${caption}`);
      return made;
    };
    figure.append(
      element(
        "div",
        { class: "save" },
        save("SVG", "image/svg+xml", () => chart.toFile()),
        save("CSV", "text/csv", () => chart.toTable()),
      ),
    );
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

  render() {
    for (const part of this.parts) part.update?.();
    // Only the room that is being worked in speaks up.
    this.reading.setAttribute("aria-live", this.node.contains(document.activeElement) ? "polite" : "off");
    this.draw();
  }
}
