// Where new links go: library, folder, a name for a single file; remembered in this browser.
import { el, one } from "./dom.js";
import { keep, kept } from "./keep.js";
import { say } from "./words.js";

export class Options {
  onChange = () => {};
  #me = null;
  #button = one("#options-open");
  #folder = one("#folder");
  #name = one("#name");
  #owner = one("#owner");
  #mkdir = one("#mkdir");
  #library = null;

  constructor() {
    this.#button.addEventListener("click", () => this.#open(one("#options").hidden));
    for (const field of [this.#folder, this.#owner, this.#mkdir]) {
      field.addEventListener("change", () => this.#changed());
    }
    this.#folder.value = kept("folder", "");
  }

  welcome(me) {
    this.#me = me;
    this.#makeLibrary(me.libraries);
    one("#for-owner").hidden = !me.admin || me.local;
    if (!this.#library.value) this.#open(true);
  }

  /** What goes with links into the request. */
  chosen(count) {
    if (this.#me === null) return {};
    const [name, owner] = [this.#name.value.trim(), this.#owner.value.trim()];
    return {
      library: this.#library.value.trim(),
      path: this.#folder.value.trim() || "/",
      mkdir: this.#mkdir.checked,
      ...(count === 1 && name && { name }),
      ...(this.#me.admin && owner && { owner }),
    };
  }

  /** Sets them to where a task goes. */
  target(task) {
    this.#library.value = task.library;
    this.#folder.value = task.path;
    this.#changed();
  }

  /** A name is for one file. */
  forgetName() {
    this.#name.value = "";
  }

  draw(count) {
    this.#name.disabled = count > 1;
    this.#name.placeholder = say(count > 1 ? "options.name_one" : "options.name_hint");
    if (this.#me) this.#owner.placeholder = this.#me.owner;
  }

  #open(opens) {
    one("#options").hidden = !opens;
    this.#button.setAttribute("aria-expanded", String(opens));
  }

  /** A choice of the libraries that are known, or a field for any. */
  #makeLibrary(libraries) {
    const last = kept("library", "");
    if (libraries) {
      this.#library = el("select", { id: "library" }, ...libraries.map((name) => el("option", { value: name }, name)));
      this.#library.value = libraries.includes(last) ? last : libraries[0] ?? "";
    } else {
      this.#library = el("input", { id: "library", type: "text", spellcheck: "false", autocomplete: "off", value: last });
    }
    this.#library.addEventListener("change", () => this.#changed());
    one("#library-place").replaceChildren(this.#library);
  }

  #changed() {
    keep("library", this.#library.value.trim());
    keep("folder", this.#folder.value.trim());
    this.onChange();
  }
}
