// The field for links: takes what is pasted, typed or dropped, hands it over, keeps what was refused.
import { one, setText } from "./dom.js";
import { linksOf, plain } from "./format.js";
import { Options } from "./options.js";
import { Preflight } from "./preflight.js";
import { showResults } from "./results.js";
import { announce } from "./toasts.js";
import { onLanguage, say } from "./words.js";

const BATCH = 100;
const MOST_ROWS = 10;

export class AddField {
  #api;
  #field = one("#links");
  #options = new Options();
  #preflight;
  #onAdded;
  #hint = null;
  #isBusy = false;
  #last = null;

  /** @param onAdded (tasks) when some were taken */
  constructor(api, onAdded) {
    this.#api = api;
    this.#onAdded = onAdded;
    this.#preflight = new Preflight(api);
    one("#add").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("input", () => this.#changed());
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#options.onChange = () => this.#changed();
    onLanguage(() => this.#draw());
    onLanguage(() => this.#last && showResults(...this.#last));
  }

  /** Fits the field to who is signed in. */
  welcome(me) {
    this.#options.welcome(me);
    this.#draw();
  }

  focus() {
    scrollTo({ top: 0, behavior: "instant" });
    this.#field.focus();
  }

  /** Puts more links below those that are there. */
  append(text) {
    const links = linksOf(text);
    if (links.length === 0) return;
    this.#field.value = [...linksOf(this.#field.value), ...links].join("\n");
    this.#changed();
    this.focus();
    announce(say("add.taken", { count: links.length }));
  }

  /** Asks for another link to what this task wanted; it goes to the same place. */
  askForNewLink(task, name) {
    this.#options.target(task);
    this.#hint = { key: "add.new_link", values: { name } };
    this.#draw();
    this.focus();
    announce(say(this.#hint.key, this.#hint.values));
  }

  /** Hands over a link to where this task wanted it. */
  async again(task, url) {
    const answer = await this.#api.post("tasks", { urls: [url], library: task.library, path: task.path });
    this.#tell(answer.results, [url], null);
  }

  async #submit() {
    const links = linksOf(this.#field.value);
    if (this.#isBusy) return;
    if (links.length === 0) {
      this.#field.focus();
      return;
    }
    this.#become(true);
    const { results, trouble } = await this.#handOver(links);
    this.#become(false);
    this.#tell(results, links, trouble);
    const failed = links.filter((_, at) => !results[at]?.task);
    this.#field.value = failed.join("\n");
    this.#hint = null;
    if (failed.length === 0) this.#options.forgetName();
    this.#changed();
    this.focus();
  }

  /** A result for each link, until the daemon takes no more at all. */
  async #handOver(links) {
    const results = [];
    try {
      for (let from = 0; from < links.length; from += BATCH) {
        const urls = links.slice(from, from + BATCH);
        const answer = await this.#api.post("tasks", { urls, ...this.#options.chosen(links.length) });
        for (const result of answer.results) results[from + result.line - 1] = result;
      }
    } catch (trouble) {
      if (trouble.words === undefined) throw trouble;
      return { results, trouble };
    }
    return { results, trouble: null };
  }

  #tell(results, links, trouble) {
    const lines = links.map((link, at) => ({ link, ...results[at] }));
    this.#last = [lines, trouble, () => { this.#last = null; }];
    showResults(...this.#last);
    const tasks = results.filter((result) => result?.task).map((result) => result.task);
    if (tasks.length) this.#onAdded(tasks);
  }

  #key(event) {
    if (event.key !== "Enter" || event.isComposing || event.shiftKey) return;
    const isOneLine = !this.#field.value.includes("\n");
    if (!isOneLine && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.#submit();
  }

  #become(busy) {
    this.#isBusy = busy;
    one("#add-go").disabled = busy;
    one("#add").setAttribute("aria-busy", String(busy));
  }

  #changed() {
    this.#draw();
    this.#preflight.look(linksOf(this.#field.value), this.#options.chosen(1));
  }

  #draw() {
    const count = linksOf(this.#field.value).length;
    this.#field.rows = Math.min(Math.max(this.#field.value.split("\n").length, 1), MOST_ROWS);
    setText(one("#add-go span"), count > 1 ? say("add.go_many", { count }) : say("add.go"));
    setText(one("#add-hint"), this.#hintFor(count));
    one("#add-hint").classList.toggle("is-asking", this.#hint !== null);
    this.#options.draw(count);
    const { library, path } = this.#options.chosen(1);
    setText(one("#add-target"), say("add.target", { library: plain(library), path: plain(path) }));
    one("#add-target").hidden = !library;
  }

  #hintFor(count) {
    if (this.#hint) return say(this.#hint.key, this.#hint.values);
    return say(count === 0 ? "add.hint" : count === 1 ? "add.hint_one" : "add.hint_many");
  }
}
