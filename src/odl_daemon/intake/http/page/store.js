// The tasks that the page knows: the list of one view, newest first, kept up with what comes live.
import { belongs, isMoving } from "./phases.js";

export const PAGE = 100;

/** Fires "change" when anything in it is another. */
export class TaskList extends EventTarget {
  view = { tab: "all", q: "", owner: "" };
  /** Ids, newest first; another array whenever an id comes or goes. */
  order = [];
  tasks = new Map();
  counts = {};
  /** Where the next page begins; null at the end of the list. */
  next = null;
  isLoading = false;
  /** What the first page's loading failed of. */
  trouble = null;
  #api;
  #views = 0;
  #loads = 0;
  #meanwhile = new Map();
  #speeds = new Map();

  constructor(api) {
    super();
    this.#api = api;
  }

  /** How many tasks the view has, as far as is known. */
  get total() {
    return this.next === null ? this.order.length : Math.max(this.counts[this.view.tab] ?? 0, this.order.length + 1);
  }

  /** Bytes per second that come in. */
  get flow() {
    return [...this.#speeds.values()].reduce((sum, speed) => sum + speed, 0);
  }

  /** Shows another view, from its first page. */
  async show(view) {
    this.view = { ...this.view, ...view };
    this.#views += 1;
    Object.assign(this, { order: [], tasks: new Map(), next: null, trouble: null });
    await this.#load(async () => this.#replace(await this.#page(null), false));
  }

  /** Loads the next page, if there is one and none is on its way. */
  async more() {
    if (this.next === null || this.isLoading) return;
    await this.#load(async () => {
      const page = await this.#page(this.next);
      this.#keep(page.tasks);
      this.order = merged(this.order, page.tasks);
      this.next = page.next;
      this.counts = page.counts ?? this.counts;
    });
  }

  /** Loads again what is loaded, `most` tasks of it at least; what lies beyond stays as it was. */
  async refresh(most = Infinity) {
    const wanted = Math.max(1, Math.min(this.order.length, most));
    await this.#load(async () => {
      const whole = { tasks: [], next: null, counts: {} };
      do {
        const page = await this.#page(whole.next);
        Object.assign(whole, { next: page.next, counts: page.counts });
        whole.tasks.push(...page.tasks);
      } while (whole.next !== null && whole.tasks.length < wanted);
      this.#speeds.clear();
      this.#replace(whole, true);
    });
  }

  /** Takes tasks as they are now; returns [before, now] of those that were known. */
  take(tasks) {
    const known = [];
    for (const task of tasks) {
      const before = this.tasks.get(task.id);
      if (before && before.changed > task.changed) continue;
      if (this.isLoading) this.#meanwhile.set(task.id, task);
      if (before) known.push([before, task]);
      this.#note(task);
      this.#place(task, before);
    }
    this.#changed();
    return known;
  }

  takeCounts(counts) {
    if (this.view.q) return; // they count everything, the tabs what is searched
    this.counts = counts;
    this.#changed();
  }

  #place(task, before) {
    const shows = belongs(task, this.view);
    if (before && !shows) {
      this.tasks.delete(task.id);
      this.order = this.order.filter((id) => id !== task.id);
    } else if (before || (shows && this.#isInReach(task))) {
      this.tasks.set(task.id, task);
      if (!before) this.order = merged(this.order, [task]);
    }
  }

  /** Whether a task lies in the part of the list that is loaded. */
  #isInReach(task) {
    return this.next === null || (this.order.length > 0 && task.id > this.order.at(-1));
  }

  async #load(work) {
    const [view, load] = [this.#views, (this.#loads += 1)];
    this.isLoading = true;
    this.#changed();
    try {
      await work();
      if (view === this.#views) this.trouble = null;
    } catch (trouble) {
      if (trouble !== STALE) {
        if (this.order.length === 0) this.trouble = trouble;
        throw trouble;
      }
    } finally {
      if (load === this.#loads) {
        this.isLoading = false;
        const meanwhile = [...this.#meanwhile.values()];
        this.#meanwhile.clear();
        this.take(meanwhile);
      }
    }
  }

  /** One page of the view. Throws STALE if another view is shown by then. */
  async #page(cursor) {
    const view = this.#views;
    const page = await this.#api.get("tasks", { ...this.view, limit: PAGE, cursor });
    if (view !== this.#views) throw STALE;
    return page;
  }

  #replace({ tasks, next, counts }, keepBeyond) {
    const last = tasks.at(-1)?.id ?? 0;
    const beyond = keepBeyond && next !== null ? this.order.filter((id) => id < last) : [];
    const known = this.tasks;
    this.tasks = new Map(beyond.map((id) => [id, known.get(id)]));
    this.#keep(tasks);
    this.order = [...tasks.map((task) => task.id), ...beyond];
    this.next = beyond.length ? this.next : next;
    this.counts = counts ?? this.counts;
  }

  #keep(tasks) {
    for (const task of tasks) {
      this.tasks.set(task.id, task);
      this.#note(task);
    }
  }

  #note(task) {
    if (isMoving(task) && task.speed) this.#speeds.set(task.id, task.speed);
    else this.#speeds.delete(task.id);
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

const STALE = Symbol("an answer for a view that is shown no longer");

/** The order with these tasks' ids put into their places: the newest has the largest id. */
export function merged(order, tasks) {
  const fresh = tasks.map((task) => task.id).filter((id) => !has(order, id));
  if (fresh.length === 0) return order;
  return [...order, ...fresh].sort((a, b) => b - a);
}

function has(order, id) {
  let [low, high] = [0, order.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order[middle] > id) low = middle + 1;
    else high = middle;
  }
  return order[low] === id;
}
