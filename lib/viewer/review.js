// Where the open case stands, what may be said about it, and how much of the queue is left: all as the server tells.

import * as client from "./client.js";
import { session } from "./session.js";
import { told } from "./view.js";

class Review extends EventTarget {
  /** @type {client.Standing|null} */ standing = null;
  /** @type {client.Queue|null} */ queue = null;
  /** @type {string} why they are not known */ problem = "";
  /** @type {boolean} whether this case is done with, so that the next one is due */ finished = false;
  #asked = "";

  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    session.addEventListener("stored", () => this.refresh());
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh()); // others work meanwhile
  }

  /** @returns {{image: string, task: string|null}|null} */
  get subject() {
    const { series, subject, work } = session;
    return series && { image: series.SeriesInstanceUID, task: work ? work.task : (subject?.name ?? null) };
  }

  /**
   * @param {string} action one of `standing.actions`
   * @returns {"needed"|"optional"}
   */
  reason(action) {
    return this.standing?.actions[action]?.needs_reason ? "needed" : "optional";
  }

  /**
   * @param {string} action one of `standing.actions`
   * @param {string} reason
   */
  async say(action, reason) {
    const { subject } = this;
    if (!subject || !session.named("A word on a case must say whose it is.")) return;
    await session.attempt(`to ${action}`, async () => {
      const { state } = await client.say(subject.image, action, { task: subject.task, user: session.user, reason });
      const over = action !== "reopen";
      session.message = { kind: "good", text: over ? `The case is ${state}. Go on with the next.` : "The case is open." };
      this.finished = over;
    });
    await this.refresh();
  }

  /** Give the open image back to the queue. */
  async giveBack() {
    const { subject } = this;
    if (subject) await session.attempt("giving back", () => client.giveBack(subject.image, session.user));
    await this.refresh();
  }

  /** Ask again. */
  async refresh() {
    const { subject } = this;
    const task = subject ? subject.task : (session.task?.name ?? null);
    try {
      const [standing, queue] = await Promise.all([
        subject ? client.standing(subject.image, subject.task) : null,
        client.queue(session.user, task),
      ]);
      this.standing = standing;
      this.queue = queue;
      this.problem = "";
    } catch (error) {
      this.standing = this.queue = null;
      this.problem = told(error);
    }
    this.dispatchEvent(new Event("change"));
  }

  #look() {
    const { subject } = this;
    const asked = `${subject?.image} ${subject?.task} ${session.user} ${session.work?.segmentationId}`;
    if (asked === this.#asked || !session.offers.tasks.length) return;
    this.#asked = asked;
    this.finished = false;
    this.refresh();
  }
}

export const review = new Review();
