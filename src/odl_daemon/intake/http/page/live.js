// Hears from the daemon as things happen: a stream of events, and while there is none a look every ten seconds.

const LOOK = 10_000;
const SOON = 1_000;
const LATEST = 15_000;

export class Live {
  /** "live", "away" or "looking" (no stream, but answers). */
  state = "away";
  #ears;
  #source = null;
  #reopening = null;
  #looking = null;
  #wait = SOON;

  /**
   * @param ears `address()` of the stream; `tasks(list)`, `counts(counts)` as they come; `reload(all)` when
   * something may have been missed; `state(state)` whenever it changes
   */
  constructor(ears) {
    this.#ears = ears;
  }

  start() {
    this.stop();
    this.#looking = setInterval(() => this.#look(), LOOK);
    this.#open(false);
  }

  stop() {
    clearInterval(this.#looking);
    clearTimeout(this.#reopening);
    this.#source?.close();
    this.#source = null;
  }

  /** Opens a stream; what happened before it begins may have been missed. */
  #open(missedMuch) {
    if (!("EventSource" in window)) return;
    const source = new EventSource(this.#ears.address());
    this.#source = source;
    let isFirst = true;
    source.addEventListener("open", () => {
      this.#wait = SOON;
      this.#become("live");
      if (isFirst) this.#ears.reload(missedMuch);
      isFirst = false;
    });
    source.addEventListener("tasks", (event) => this.#ears.tasks(JSON.parse(event.data).tasks));
    source.addEventListener("counts", (event) => this.#ears.counts(JSON.parse(event.data)));
    source.addEventListener("reset", () => this.#ears.reload(true));
    source.addEventListener("error", () => this.#lose(source));
  }

  /** The browser tries again by itself and resumes, unless the answer was an error: then a new stream is needed. */
  #lose(source) {
    if (source !== this.#source) return;
    this.#become("away");
    if (source.readyState !== EventSource.CLOSED) return;
    this.#reopening = setTimeout(() => this.#open(true), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LATEST);
  }

  async #look() {
    if (this.state === "live") return;
    const answered = await this.#ears.look();
    if (this.state !== "live") this.#become(answered ? "looking" : "away");
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.#ears.state(state);
  }
}
