// The versions of the chosen task's model, and who decides which of them is served.

import * as client from "./client.js";
import { session } from "./session.js";
import { training } from "./training.js";
import { told } from "./view.js";

/**
 * @typedef {object} Version
 * @property {string} version
 * @property {string} created
 * @property {string} source
 * @property {{metric: string, mean: number}|null} quality
 * @property {boolean} has_weights
 * @property {{promoted: boolean, reason: string}|null} decision
 */

class Models extends EventTarget {
  /** @type {Version[]} newest first */ versions = [];
  /** @type {string|null} */ served = null;
  /** @type {string|null} what a rollback would serve */ before = null;
  /** @type {boolean} whether the server lets this browser change it */ changeable = false;
  /** @type {{when: string, by: string, reason: string}|null} the last change */ change = null;
  /** @type {string} */ problem = "";
  #asked = "";

  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    training.addEventListener("ended", () => this.refresh());
  }

  /** @param {string} version @param {string} reason */
  async promote(version, reason) {
    await this.#decide("promoting", (task) => client.promote(task, { version, user: session.user, reason }));
  }

  /** @param {string} reason */
  async rollback(reason) {
    await this.#decide("rolling back", (task) => client.rollback(task, { user: session.user, reason }));
  }

  async refresh() {
    const name = session.learner?.name;
    if (!name) return;
    try {
      const found = await client.models(name);
      if (name !== session.learner?.name) return;
      this.versions = found.versions.reverse();
      this.served = found.served;
      this.before = found.reachable.at(-2) ?? null;
      this.changeable = found.changes_allowed;
      this.change = found.history.at(-1) ?? null;
      this.problem = "";
    } catch (error) {
      this.problem = told(error);
    }
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} doing @param {(task: string) => Promise<{version: string}>} ask */
  async #decide(doing, ask) {
    const name = session.learner?.name;
    if (!name || !session.named("A change of the model must say whose it is.")) return;
    await session.attempt(doing, async () => {
      const { version } = await ask(name);
      await session.askTasks();
      session.message = { kind: "good", text: `${version} is served from the next draft on.` };
    });
    await this.refresh();
  }

  #look() {
    const asked = `${session.learner?.name} ${session.learner?.served}`;
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.refresh();
  }
}

export const models = new Models();
