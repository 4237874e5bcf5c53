// What only an admin sees: everybody's limits, and what links were kept from.
import { button, el, icon, one } from "./dom.js";
import { bytes, exact, plain, relative } from "./format.js";
import { onLanguage, say } from "./words.js";

const LIMITS = ["running", "queued", "tasks_per_day", "bytes_per_day", "max_size"];
const PAGE = 100;

export class Admin {
  #api;
  #showTasksOf;
  #most = PAGE;
  #drawn = {};

  /** @param showTasksOf (owner) leads to the list of a user's tasks */
  constructor(api, showTasksOf) {
    this.#api = api;
    this.#showTasksOf = showTasksOf;
    one("#blocks-owner").addEventListener("change", () => this.showBlocks());
    onLanguage(() => Object.values(this.#drawn).forEach((draw) => draw()));
  }

  async showLimits() {
    await this.#fill("#limits", async () => {
      const { users } = await this.#api.get("admin/limits");
      return () => (users.length ? this.#limitsTable(users) : nothing("limits.none"));
    });
  }

  async showBlocks(most = PAGE) {
    this.#most = most;
    await this.#fill("#blocks", async () => {
      const { blocks } = await this.#api.get("admin/blocks", { owner: one("#blocks-owner").value.trim(), limit: this.#most });
      return () => (blocks.length ? this.#blocksTable(blocks) : nothing("blocks.none"));
    });
  }

  async #fill(selector, load) {
    const place = one(selector);
    place.setAttribute("aria-busy", "true");
    try {
      const make = await load();
      this.#drawn[selector] = () => place.replaceChildren(...[make()].flat());
    } catch (trouble) {
      if (trouble.words === undefined) throw trouble;
      this.#drawn[selector] = () => place.replaceChildren(el("p", { class: "mistake" }, trouble.words));
    }
    place.removeAttribute("aria-busy");
    this.#drawn[selector]();
  }

  #limitsTable(users) {
    const heads = ["owner", "group", ...LIMITS].map((key) => say(`limits.${key}`));
    return table(say("limits.title"), heads, users.map((user) => [
      button(plain(user.owner), () => this.#showTasksOf(user.owner), { look: "plain" }), plain(user.group) || "–",
      ...LIMITS.map((key) => limitCell(key, user)),
    ]));
  }

  #blocksTable(blocks) {
    const heads = ["at", "owner", "task", "host", "address", "reason"].map((key) => say(`blocks.${key}`));
    const rows = blocks.map((block) => [
      el("time", { datetime: block.at, title: exact(block.at) }, relative(block.at)), plain(block.owner), block.task ? `#${block.task}` : "–",
      el("bdi", {}, `${plain(block.host)}:${block.port}`), plain(block.address) || "–", plain(block.reason),
    ]);
    const more = button(say("blocks.more"), () => this.showBlocks(this.#most + PAGE));
    return [table(say("blocks.title"), heads, rows), ...(blocks.length >= this.#most ? [more] : [])];
  }
}

function limitCell(key, { limits, used }) {
  const amount = ["bytes_per_day", "max_size"].includes(key) ? bytes : (count) => count.toLocaleString();
  const limit = limits[key] ? amount(limits[key]) : say("limits.no_limit");
  if (key === "max_size") return limit;
  const taken = used[key] ?? 0;
  const text = say("limits.of", { used: amount(taken), limit });
  if (!limits[key]) return text;
  const bar = el("progress", { max: limits[key], value: Math.min(taken, limits[key]), "aria-label": text });
  return el("span", { class: taken >= limits[key] ? "share is-out" : "share" }, text, bar);
}

function table(caption, heads, rows) {
  return el("table", { class: "figures" }, el("caption", { class: "unseen" }, caption),
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell))))));
}

function nothing(key) {
  return el("div", { class: "empty" }, icon("check"), el("h2", {}, say(key)));
}
