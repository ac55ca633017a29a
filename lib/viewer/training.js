// The newest training of the chosen task, followed as it goes; found again after a reload, and noticed when it begins.

import * as client from "./client.js";
import { session } from "./session.js";
import { told, words } from "./view.js";

const LOOK_MS = 10_000;

/** @typedef {{epoch: number, loss?: number, dice?: number}} Epoch */

class Training extends EventTarget {
  /** @type {any} the job, as the server describes it; null if there was none */ job = null;
  /** @type {Map<number, Epoch>} */ #epochs = new Map();
  /** @type {{fraction: number, message: string, eta_s: number|null}|null} */ progress = null;
  /** @type {string} why nothing is known */ problem = "";
  /** @type {EventSource|null} */ #stream = null;
  #task = "";

  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    setInterval(() => this.#notice(), LOOK_MS);
  }

  /** @returns {Epoch[]} by their number */
  get epochs() {
    return [...this.#epochs.values()].sort((a, b) => a.epoch - b.epoch);
  }

  /** @returns {boolean} */
  get active() {
    return ["queued", "running"].includes(this.job?.state);
  }

  /** Train the chosen task from what is labelled and not turned down. */
  async start() {
    const { task } = session;
    if (!task || !session.named("A training must say who asked for it.")) return;
    await session.attempt("starting the training", async () => this.#follow(await client.train(task.name, session.user)));
  }

  async cancel() {
    const { job } = this;
    if (job) await session.attempt("stopping the training", () => client.cancelJob(job.id));
  }

  /** Let a training go on that was stopped. */
  async resume() {
    const { job } = this;
    if (job) await session.attempt("going on", async () => this.#follow(await client.resumeJob(job.id)));
  }

  /** @returns {boolean} whether the training has stopped before its end */
  get resumable() {
    return ["cancelled", "failed", "interrupted"].includes(this.job?.state);
  }

  /** @returns {string} how it ended, in words */
  get verdict() {
    const { job } = this;
    if (!job || this.active) return "";
    if (job.state !== "succeeded") return job.error || `The training was ${job.state}.`;
    const { version, promoted, reason } = job.result;
    return `${version} ${promoted ? "is served now" : "was kept back"}: ${reason}.`;
  }

  async #look() {
    const name = session.task?.name ?? "";
    if (name === this.#task) return;
    this.#task = name;
    this.#forget();
    if (!name) return;
    try {
      const newest = await newestOf(name);
      if (newest && name === this.#task) this.#follow(newest);
    } catch (error) {
      this.problem = told(error);
      this.#changed();
    }
  }

  /** Follow a training that began meanwhile, by itself or by somebody else. */
  async #notice() {
    const name = this.#task;
    if (!name || this.active || document.hidden) return;
    const newest = await newestOf(name).catch(() => null); // the next look tells
    if (!newest || newest.id === this.job?.id || name !== this.#task || this.active) return;
    this.#follow(newest);
    if (this.active && !session.busy) session.tell("info", `${begun(newest)} You can go on working.`);
  }

  #forget() {
    this.#stream?.close();
    this.#stream = this.job = this.progress = null;
    this.#epochs.clear();
    this.problem = "";
    this.#changed();
  }

  /** @param {any} job */
  #follow(job) {
    this.#forget();
    this.job = job;
    const wasActive = this.active;
    const stream = new EventSource(client.jobStream(job.id));
    this.#stream = stream;
    const on = (/** @type {string} */ name, /** @type {(content: any) => void} */ take) =>
      stream.addEventListener(name, (event) => {
        this.problem = "";
        take(JSON.parse(/** @type {MessageEvent} */ (event).data));
        this.#changed();
      });
    on("progress", (content) => {
      this.progress = content;
      if (this.job.state === "queued") this.job = { ...this.job, state: "running" };
    });
    on("epoch", (content) => this.#epochs.set(content.epoch, content));
    on("end", (content) => {
      stream.close();
      this.job = content;
      this.progress = null;
      if (wasActive) this.dispatchEvent(new Event("ended"));
    });
    stream.onerror = () => {
      this.problem = "The server does not tell how the training goes. It goes on by itself; asking again…";
      this.#changed();
    };
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * @param {string} task
 * @returns {Promise<any>} its newest training; nothing if there was none
 */
async function newestOf(task) {
  const jobs = await client.trainings();
  return jobs.filter((job) => job.request.model === task).at(-1);
}

/** @param {any} job @returns {string} */
export function begun({ request, user, why }) {
  const what = `A training of ${words(request.model)}`;
  return why ? `${what} started by itself: ${why}.` : `${what} was started by ${user ?? "somebody"}.`;
}

export const training = new Training();
training.addEventListener("ended", () => session.attempt(null, () => session.askTasks()));
