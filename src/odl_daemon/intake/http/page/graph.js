// The speed of all downloads together over the last minutes, as a figure and a small curve.
import { one, setAttribute, setText } from "./dom.js";
import { speed } from "./format.js";
import { say } from "./words.js";

const LENGTH = 180;
const [WIDTH, HEIGHT] = [160, 28];

export class Graph {
  #samples = [];

  /** @param flow () => bytes per second now */
  constructor(flow) {
    setInterval(() => this.sample(flow()), 1000);
  }

  sample(flow) {
    this.#samples = [...this.#samples, flow].slice(-LENGTH);
    const place = one("#flow");
    place.hidden = this.#samples.every((each) => each === 0);
    if (place.hidden) return;
    const points = curve(this.#samples);
    setAttribute(one(".graph-line"), "points", points);
    setAttribute(one(".graph-area"), "points", `${WIDTH},${HEIGHT} ${firstX(this.#samples)},${HEIGHT} ${points}`);
    setText(one("#flow-now"), speed(flow));
    setAttribute(one("#flow-now"), "aria-label", say("flow", { speed: speed(flow) }));
    setAttribute(place, "title", say("flow.title"));
  }
}

/** The points of a line, the newest at the right edge, the highest at the top. */
export function curve(samples) {
  const highest = Math.max(...samples, 1);
  const step = WIDTH / (LENGTH - 1);
  const from = firstX(samples);
  return samples.map((each, at) => `${(from + at * step).toFixed(1)},${(HEIGHT - 1 - (each / highest) * (HEIGHT - 3)).toFixed(1)}`).join(" ");
}

const firstX = (samples) => WIDTH - ((samples.length - 1) * WIDTH) / (LENGTH - 1);
