// What the server offers: tasks, when their models were trained, and how it may choose the next case.

import { choices } from "./choices.js";
import * as client from "./client.js";
import { draws } from "./fit.js";

export class Offers {
  /** @type {client.Task[]} */ tasks = [];
  /** @type {{name: string, description: string}[]} */ strategies = [];
  /** @type {Map<string, string>} task to when its model was trained */ trained = new Map();

  /** Ask the server. */
  async ask() {
    [this.tasks, this.strategies] = await Promise.all([client.tasks(), client.strategies()]);
    await Promise.all(this.tasks.filter((task) => task.served).map((task) => this.#askWhenTrained(task)));
  }

  /** @param {string|null} name @returns {client.Task|null} */
  task(name) {
    return this.tasks.find((task) => task.name === name) ?? null;
  }

  /** @param {string} modality @returns {client.Task[]} tasks that draft series of a modality by themselves */
  drawing(modality) {
    return this.tasks.filter((task) => draws(task, modality));
  }

  get strategy() {
    return this.strategies.some(({ name }) => name === choices.strategy)
      ? choices.strategy
      : (this.strategies[0]?.name ?? "");
  }

  set strategy(name) {
    choices.strategy = name;
  }

  /** @param {client.Task} task */
  async #askWhenTrained(task) {
    const { versions } = await client.models(task.name);
    const served = versions.find((/** @type {any} */ version) => version.version === task.served);
    if (served?.created) this.trained.set(task.name, served.created);
  }
}
