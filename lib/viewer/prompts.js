// What a reader points at, so that an interactive task corrects its draft.

import { BACKGROUND, clicksOf } from "./clicks.js";
import { points, removeMarks, rest } from "./marks.js";
import { activate, gridOf } from "./segmentation.js";
import { chosenSegment, listedSegments } from "./segments.js";
import { session } from "./session.js";

const RED = /** @type {[number, number, number]} */ ([255, 90, 90]);

/** Dispatches `change`. */
class Prompts extends EventTarget {
  /** @type {boolean} whether points are placed outside of all segments */ #outside = false;

  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    session.addEventListener("stored", () => this.clear());
  }

  /** @returns {import("./client.js").Task|null} the interactive task whose labels are on screen */
  get task() {
    const { work, subject } = session;
    return work && subject?.kind === "deepedit" ? subject : null;
  }

  /** @returns {string|null} what a click says now; null while clicks place no points */
  get placing() {
    if (!this.task || !points.placing) return null;
    return this.#outside ? BACKGROUND : (chosenSegment()?.name ?? null);
  }

  /** @returns {import("./marks.js").Mark[]} of the open series, the oldest first */
  get points() {
    return session.series && this.task ? points.on(session.series.SeriesInstanceUID) : [];
  }

  /**
   * Have clicks place points; asked for again, have them do so no more.
   * @param {{outside: boolean}} where
   */
  place({ outside }) {
    if (!this.task) return;
    if (this.placing && this.#outside === outside) return this.#rest();
    this.#outside = outside;
    points.place({ says: () => this.#saying(), changed: () => this.#changed() });
    this.#changed();
  }

  /** Take the newest point away. */
  undo() {
    removeMarks(this.points.slice(-1));
    this.#changed();
  }

  /** Take all points of the open series away. */
  clear() {
    removeMarks(this.points);
    this.#changed();
  }

  /** Have the task draft again, so that it follows the points; its answer replaces what is drawn. */
  async correct() {
    const { task } = this;
    const { series } = session;
    const placed = this.points;
    if (!task || !series || !placed.length) return;
    const active = chosenSegment()?.index;
    await session.draft({ task, prompts: () => clicksOf(placed, { task, grid: gridOf(series) }) });
    const { work } = session;
    if (work && active && listedSegments().some(({ label }) => label.index === active)) {
      activate(work.segmentationId, active);
    }
    this.#changed();
  }

  /** @returns {import("./marks.js").Saying|null} */
  #saying() {
    const { task } = this;
    const { series } = session;
    const segment = chosenSegment();
    if (!task || !series) return null;
    const what = this.#outside ? { name: BACKGROUND, colour: RED } : segment;
    return what && { label: what.name, colour: what.colour, series: series.SeriesInstanceUID };
  }

  /** Notice that what is on screen takes no points any more. */
  #look() {
    if (!this.task && points.placing) this.#rest();
    else this.#changed();
  }

  #rest() {
    rest();
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const prompts = new Prompts();
