// One picture: axes, lines and points in an SVG that is drawn anew whenever something changes.

import { axisBottom, axisLeft, create, line, pointer, scaleLinear, scaleLog, select } from "d3";
import { show } from "./controls.js";

const MARGIN = { top: 12, right: 14, bottom: 42, left: 70 };
/** Properties that a downloaded picture needs of its own, because the page's style does not go with it. */
const KEPT = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "opacity",
  "font-size",
  "font-family",
  "fill-opacity",
];

/** The first digit of a number that has one: its mantissa. */
const mantissa = (x) => Math.round(x / 10 ** Math.floor(Math.log10(x) + 1e-9));
/** Which ticks of a logarithmic axis have a number: powers of ten, and over few decades 2 and 5 as well. */
const isTold = (x, [low, high]) => (Math.log10(high / low) < 2 ? [1, 2, 5] : [1]).includes(mantissa(x));

export class Chart {
  constructor(place, { height = 300, square = false } = {}) {
    this.square = square;
    this.height = height;
    this.svg = create("svg").attr("role", "img").attr("class", "chart");
    place.append(this.svg.node());
    this.place = place;
  }

  /** Forget how wide it is. */
  refit() {
    this.width = 0;
  }

  /** Begin a picture: `x` and `y` hold domain, label and whether they are logarithmic; `words` say what it shows. */
  begin({ x, y, words }) {
    // Asked for once: a browser that is asked in the middle of a drawing lays out the whole page anew.
    this.width ||= Math.max(260, this.place.clientWidth);
    if (this.svg.attr("aria-label") !== words) this.svg.attr("aria-label", words);
    this.rows = [];
    const frame = JSON.stringify([this.width, x, y]);
    if (frame === this.frame) this.body.selectAll("*").remove();
    else this.#drawFrame(x, y);
    this.frame = frame;
    return this;
  }

  /** Draw the axes, which stay as long as they are the same. */
  #drawFrame(x, y) {
    const { width } = this;
    const height = this.square ? Math.min(width, 400) : this.height;
    this.svg.attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height);
    this.svg.selectAll("*").remove();
    const make = ({ domain, log }, range) => {
      let [low, high] = domain;
      if (!(high > low)) [low, high] = log ? [low / 2, low * 2] : [low - 1, low + 1];
      return (log ? scaleLog() : scaleLinear()).domain([low, high]).range(range).clamp(false);
    };
    this.x = make(x, [MARGIN.left, width - MARGIN.right]);
    this.y = make(y, [height - MARGIN.bottom, MARGIN.top]);
    if (this.square) this.#makeEqual(width, height);
    const few = Math.max(3, Math.round(width / 110));
    const ticks = (axis, side, n) =>
      axis
        .tickSizeOuter(0)
        .ticks(n)
        .tickFormat(side.log ? (value) => (isTold(value, side.domain) ? show(value) : "") : show);
    const bottom = this.svg
      .append("g")
      .attr("class", "axis")
      .attr("transform", `translate(0,${height - MARGIN.bottom})`);
    bottom.call(ticks(axisBottom(this.x), x, few));
    if (y.ticks !== false) {
      const left = this.svg.append("g").attr("class", "axis").attr("transform", `translate(${MARGIN.left},0)`);
      left.call(ticks(axisLeft(this.y), y, Math.max(2, Math.round(height / 60))));
    }
    this.svg
      .append("text")
      .attr("class", "label")
      .attr("x", (MARGIN.left + width - MARGIN.right) / 2)
      .attr("y", height - 6)
      .attr("text-anchor", "middle")
      .text(x.label);
    this.svg
      .append("text")
      .attr("class", "label")
      .attr("transform", `translate(13,${(height - MARGIN.bottom) / 2}) rotate(-90)`)
      .attr("text-anchor", "middle")
      .text(y.label);
    const id = `clip${Chart.count++}`;
    this.svg
      .append("clipPath")
      .attr("id", id)
      .append("rect")
      .attr("x", MARGIN.left)
      .attr("y", MARGIN.top - 4)
      .attr("width", width - MARGIN.left - MARGIN.right)
      .attr("height", height - MARGIN.top - MARGIN.bottom + 8);
    const within = this.svg.append("g").attr("clip-path", `url(#${id})`);
    this.ground = within.append("g");
    this.body = within.append("g");
    this.grounded = null;
  }

  /** Draw what lies below all else, and stays as long as its key and the axes are the same. */
  under(key, draw) {
    if (this.grounded === key) return this;
    this.ground.selectAll("*").remove();
    draw(this.ground);
    this.grounded = key;
    return this;
  }

  static count = 0;

  #makeEqual(width, height) {
    const perX = (this.x.domain()[1] - this.x.domain()[0]) / (width - MARGIN.left - MARGIN.right);
    const perY = (this.y.domain()[1] - this.y.domain()[0]) / (height - MARGIN.top - MARGIN.bottom);
    const widen = (scale, factor) => {
      const [low, high] = scale.domain();
      const middle = (low + high) / 2;
      scale.domain([middle - ((high - low) / 2) * factor, middle + ((high - low) / 2) * factor]);
    };
    if (perX < perY) widen(this.x, perY / perX);
    else widen(this.y, perX / perY);
  }

  /** Draw a line through points [x, y]; `name` is its column in the downloaded numbers. */
  line(points, { name, className = "", color = null, dash = null, width = 2, opacity = 1 } = {}) {
    const shape = line()
      .defined(([x, y]) => Number.isFinite(this.x(x)) && Number.isFinite(this.y(y)))
      .x(([x]) => this.x(x))
      .y(([, y]) => Math.max(-1e5, Math.min(1e5, this.y(y))));
    this.body
      .append("path")
      .attr("class", `line ${className}`)
      .attr("d", shape(points))
      .attr("fill", "none")
      .attr("stroke", color)
      .attr("stroke-width", width)
      .attr("stroke-dasharray", dash)
      .attr("opacity", opacity);
    if (name) for (const [x, y] of points) this.rows.push([name, x, y]);
    return this;
  }

  dots(points, { name, className = "", color = null, radius = 5, opacity = 1 } = {}) {
    points.forEach(([x, y], i) => {
      if (!Number.isFinite(this.x(x)) || !Number.isFinite(this.y(y))) return;
      const size = typeof radius === "function" ? radius(i) : radius;
      this.body
        .append("circle")
        .attr("class", `dot ${typeof className === "function" ? className(i) : className}`)
        .attr("cx", this.x(x))
        .attr("cy", this.y(y))
        .attr("r", size)
        .attr("fill", color)
        .attr("opacity", opacity);
      if (name) this.rows.push([name, x, y]);
    });
    return this;
  }

  upright(x, { text = "", className = "mark", row = 0 } = {}) {
    if (!Number.isFinite(this.x(x))) return this;
    const [bottom, top] = this.y.range();
    this.body
      .append("line")
      .attr("class", className)
      .attr("x1", this.x(x))
      .attr("x2", this.x(x))
      .attr("y1", bottom)
      .attr("y2", top);
    if (text) {
      const isRight = this.x(x) > (this.x.range()[0] + this.x.range()[1]) / 2;
      this.body
        .append("text")
        .attr("class", "note")
        .attr("x", this.x(x) + (isRight ? -5 : 5))
        .attr("y", top + 12 + 14 * row)
        .attr("text-anchor", isRight ? "end" : "start")
        .text(text);
    }
    return this;
  }

  /** Bars from the bottom up to two fifths of the picture, between neighboring ends. */
  bars(ends, counts, { name }) {
    const [bottom, top] = this.y.range();
    const most = Math.max(...counts);
    counts.forEach((count, i) => {
      const [left, right, size] = [this.x(ends[i]), this.x(ends[i + 1]), (0.4 * (bottom - top) * count) / most];
      this.#rectangle(left, bottom - size, Math.max(0.5, right - left - 0.5), size, { className: "bar" });
      this.rows.push([name, Math.sqrt(ends[i] * ends[i + 1]), count]);
    });
    return this;
  }

  /** A filled block between two x and two y. */
  block(left, right, low, high, { name }) {
    const [y1, y2] = [this.y(low), this.y(high)];
    const width = this.x(right) - this.x(left);
    this.#rectangle(this.x(left), Math.min(y1, y2), Math.max(0, width), Math.abs(y2 - y1), { className: "block" });
    if (name) this.rows.push([name, right, (low + high) / 2]);
    return this;
  }

  #rectangle(x, y, width, height, { className }) {
    const made = this.body.append("rect").attr("class", className).attr("x", x).attr("y", y);
    made.attr("width", width).attr("height", height);
  }

  /** A word in the picture. */
  note(x, y, text) {
    const made = this.body.append("text").attr("class", "note").attr("x", this.x(x) + 6).attr("y", this.y(y) + 4);
    made.text(text);
    return this;
  }

  level(y, className = "zero") {
    if (!Number.isFinite(this.y(y))) return this;
    const [left, right] = this.x.range();
    this.body
      .append("line")
      .attr("class", className)
      .attr("x1", left)
      .attr("x2", right)
      .attr("y1", this.y(y))
      .attr("y2", this.y(y));
    return this;
  }

  /** Call a function with data coordinates while the pointer is pressed. */
  onDrag(act) {
    const tell = (event) => {
      const [x, y] = pointer(event, this.svg.node());
      if (this.x) act(this.x.invert(x), this.y.invert(y));
    };
    let isDown = false;
    this.svg
      .classed("drags", true)
      .on("pointerdown", (event) => {
        isDown = true;
        this.svg.node().setPointerCapture(event.pointerId);
        tell(event);
      })
      .on("pointermove", (event) => isDown && tell(event))
      .on("pointerup pointercancel", () => (isDown = false));
    return this;
  }

  onHover(act) {
    this.svg.on("pointermove.hover", (event) => {
      const [x, y] = pointer(event, this.svg.node());
      if (this.x) act(this.x.invert(x), this.y.invert(y));
    });
    return this;
  }

  /** Text of an SVG file that looks as it does here. */
  toFile() {
    const copy = this.svg.node().cloneNode(true);
    const originals = this.svg.node().querySelectorAll("*");
    copy.querySelectorAll("*").forEach((node, i) => {
      const style = getComputedStyle(originals[i]);
      for (const name of KEPT) node.setAttribute(name, style.getPropertyValue(name));
    });
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    select(copy)
      .insert("rect", ":first-child")
      .attr("width", "100%")
      .attr("height", "100%")
      .attr("fill", getComputedStyle(document.body).backgroundColor);
    return copy.outerHTML;
  }

  /** The numbers that are drawn. */
  toTable() {
    const quoted = (value) => (typeof value === "number" ? String(value) : `"${String(value).replaceAll('"', '""')}"`);
    return [["series", "x", "y"], ...this.rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  }
}

/** Lowest and highest finite value, a little widened; nothing is hidden by values that have blown up. */
export function extent(values, { least = 1e-12, most = Infinity } = {}) {
  const finite = values.filter((x) => Number.isFinite(x) && Math.abs(x) <= most);
  let [low, high] = [Math.min(...finite, 0), Math.max(...finite, 0)];
  if (high - low < least) [low, high] = [low - least, high + least];
  const margin = 0.05 * (high - low);
  return [low - margin, high + margin];
}
