// Carries out what is asked of tasks: pause, resume, cancel, retry; one, several, or all that match.
import { choose, confirm, form } from "./dialogs.js";
import { showDetails } from "./details.js";
import { remedyOf, wishesFor } from "./phases.js";
import { nameOf } from "./rows.js";
import { toast } from "./toasts.js";
import { say } from "./words.js";

const BATCH = 100;

export class Actions {
  #api;
  #tasks;
  #add;
  #showsOwner;

  /** @param add the field for links: failed tasks lead there; @param showsOwner whether owners are of interest */
  constructor(api, tasks, add, showsOwner) {
    this.#api = api;
    this.#tasks = tasks;
    this.#add = add;
    this.#showsOwner = showsOwner;
  }

  /** What a button of a row, a menu or a key asks for. */
  async act(what, task) {
    if (task === undefined || task === null) return;
    if (what === "open") await showDetails(task, this.#tasks, (chosen, now) => this.act(chosen, now), this.#showsOwner());
    else if (what === "more") await this.act(await this.#menu(task), task);
    else if (what === "new_link") this.#add.askForNewLink(task, nameOf(task));
    else if (what === "give_login") await this.#giveLogin(task);
    else if (what) await this.wish(what, [task]);
  }

  /** Asks it of those of these tasks that can be asked. */
  async wish(wish, tasks) {
    const able = tasks.filter((task) => wishesFor(task).includes(wish));
    if (able.length === 0) {
      toast(say(`none_to.${wish}`));
      return;
    }
    const name = nameOf(able[0]);
    if (wish === "cancel" && !(await this.#sure(able.length, name))) return;
    await this.#told(async () => {
      const results = able.length === 1 ? [await this.#one(wish, able[0])] : await this.#several(wish, able);
      this.#tell(wish, results, name);
    });
  }

  /** Asks it of all that match what is shown, loaded or not. */
  async wishEverything(wish) {
    const { tab, q, owner } = this.#tasks.view;
    if (wish === "cancel" && !(await this.#sure(this.#tasks.total, ""))) return;
    await this.#told(async () => {
      const answer = await this.#api.post("tasks/bulk", { wish, tab, q, ...(owner && { owner }) });
      toast(answer.count ? say(`did.${wish}`, { count: answer.count }) : say(`none_to.${wish}`));
      await this.#tasks.refresh();
    });
  }

  async #menu(task) {
    const remedy = remedyOf(task);
    const extra = { new_link: ["new_link", say("remedy.new_link"), "link"], give_login: ["give_login", say("remedy.give_login"), "key"] }[remedy];
    const wishes = wishesFor(task).map((wish) => [wish, say(`do.${wish}`), wish]);
    return choose(nameOf(task), [...(extra ? [extra] : []), ...wishes, ["open", say("do.open"), "info"]]);
  }

  async #giveLogin(task) {
    const fields = [["user", say("login.user"), "text"], ["password", say("login.password"), "password"]];
    const login = await form(say("login.title"), say("login.how", { host: task.host }), fields, say("login.go"));
    if (login !== null) await this.#told(() => this.#add.again(task, withLogin(task.url, login)));
  }

  #one(wish, task) {
    return this.#api.post(`tasks/${task.id}/${wish}`);
  }

  async #several(wish, tasks) {
    const ids = tasks.map((task) => task.id);
    const results = [];
    for (let from = 0; from < ids.length; from += BATCH) {
      const answer = await this.#api.post("tasks/bulk", { wish, ids: ids.slice(from, from + BATCH) });
      results.push(...answer.results);
    }
    return results;
  }

  #tell(wish, results, name) {
    const granted = results.filter((result) => result.granted).map((result) => result.id);
    const refused = results.length - granted.length;
    if (granted.length === 0) {
      toast(results[0]?.sentence || say(`none_to.${wish}`), { isTrouble: refused > 0 });
      return;
    }
    const told = granted.length === 1 && name ? say(`did.${wish}.one`, { name }) : say(`did.${wish}`, { count: granted.length });
    const back = wish === "cancel" ? () => this.#bringBack(granted) : null;
    toast(refused ? `${told} ${say("did.not", { count: refused })}` : told, { back });
  }

  async #bringBack(ids) {
    await this.#told(async () => {
      const tasks = ids.map((id) => ({ id }));
      const results = ids.length === 1 ? [await this.#one("retry", tasks[0])] : await this.#several("retry", tasks);
      const count = results.filter((result) => result.granted).length;
      toast(count ? say("did.undo", { count }) : results[0]?.sentence ?? say("none_to.retry"), { isTrouble: !count });
    });
  }

  #sure(count, name) {
    const what = count === 1 && name ? say("sure.one", { name }) : say("sure.many", { count });
    return confirm(say("sure.title", { count }), what, say("sure.yes", { count }));
  }

  /** Does it, and tells if it could not be done. */
  async #told(work) {
    try {
      await work();
    } catch (trouble) {
      if (trouble.words === undefined) throw trouble;
      toast(trouble.words, { isTrouble: true });
    }
  }
}

/** The link with a login in it. */
export function withLogin(url, { user, password }) {
  const parts = new URL(url);
  parts.username = encodeURIComponent(user);
  parts.password = encodeURIComponent(password);
  return parts.href;
}
