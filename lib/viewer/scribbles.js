// What a reader paints inside and outside of a structure, or draws a box around, so that the scribbles task cuts it out.

import { boxes, removeMarks, rest } from "./marks.js";
import { writeNifti } from "./nifti.js";
import { activeSegment, activeSegmentation, takeBrush } from "./ohif.js";
import { activate, attach, exists, gridOf, read, remove, replace, show } from "./segmentation.js";
import { chosenSegment } from "./segments.js";
import { session } from "./session.js";
import { INSIDE, OUTSIDE, strokePrompts } from "./strokes.js";
import { words } from "./view.js";

const STROKES = [OUTSIDE, INSIDE];

/** Dispatches `change`. Strokes are a segmentation of their own beside the work, and are never submitted. */
class Scribbles extends EventTarget {
  /** @type {Map<string, string>} segmentation that holds the strokes, by display set */ #strokes = new Map();


  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    session.addEventListener("stored", () => this.clear());
  }

  /** @returns {import("./client.js").Task|null} the task that cuts by strokes, if labels are on screen */
  get task() {
    const { series, work, offers } = session;
    if (!series || !work || session.unfit) return null;
    return offers.tasks.find(({ kind, modality }) => kind === "scribbles" && modality.includes(series.Modality)) ?? null;
  }

  /** @returns {boolean} whether the open series has a box or strokes, or may have */
  get any() {
    return this.#id !== null || this.boxes.length > 0;
  }

  /** @returns {import("./marks.js").Mark[]} of the open series, the oldest first */
  get boxes() {
    return session.series && this.task ? boxes.on(session.series.SeriesInstanceUID) : [];
  }

  /** @returns {boolean} whether the left mouse button draws boxes */
  get boxing() {
    return this.task !== null && boxes.placing;
  }

  /** @returns {"inside"|"outside"|null} the strokes that tools draw now; null while they draw segments */
  get painting() {
    const id = this.#id;
    if (!id || this.boxing || activeSegmentation() !== id) return null;
    return activeSegment(id) === OUTSIDE.index ? "outside" : "inside";
  }

  /**
   * Have OHIF's brush paint strokes; asked for again, have it paint the segment.
   * @param {"inside"|"outside"} where
   */
  async paint(where) {
    const { series } = session;
    if (!series || !this.task || session.busy) return;
    if (this.painting === where) return this.#rest();
    await session.attempt(null, async () => {
      const id = this.#id ?? (await show(series, { title: "Strokes", labels: STROKES, volume: null }));
      this.#strokes.set(series.displaySetInstanceUID, id);
      await attach(series, id, STROKES);
      activate(id, (where === "inside" ? INSIDE : OUTSIDE).index);
      takeBrush();
    });
    this.#changed();
  }

  /** Have the left mouse button draw boxes; asked for again, have it do so no more. */
  box() {
    if (!this.task || session.busy) return;
    if (this.boxing) return this.#rest();
    boxes.place({ says: () => this.#saying(), changed: () => this.#changed() });
    this.#changed();
  }

  /** Have the structure cut out; the answer replaces what is drawn of its segment. */
  async cut() {
    const { task } = this;
    const { work } = session;
    const segment = chosenSegment();
    const id = this.#id;
    if (!task || !segment || !work || !this.any) return;
    const corners = this.boxes.flatMap(({ at }) => at);
    await session.ask(task, {
      request: async () => ({
        prompts: strokePrompts(segment.name, { corners, grid: gridOf(work.series) }),
        label: id ? await writeNifti(read(work.series, id)) : undefined,
      }),
      take: async ({ volume }) => {
        replace(work.series, work.segmentationId, { index: segment.index, volume });
        session.tell("info", `Cut out ${words(segment.name)}. Paint more strokes and cut again, or submit.`);
      },
    });
    this.#changed();
  }

  /** Take all strokes and boxes of the open series away. */
  clear() {
    const id = this.#id;
    if (!this.any) return;
    this.#rest();
    removeMarks(this.boxes);
    if (id) remove(id);
    this.#changed();
  }

  /** @returns {string|null} */
  get #id() {
    const id = this.#strokes.get(session.series?.displaySetInstanceUID ?? "");
    return id && exists(id) ? id : null;
  }

  /** @returns {import("./marks.js").Saying|null} */
  #saying() {
    const { series } = session;
    const segment = chosenSegment();
    return segment && series && { label: segment.name, colour: segment.colour, series: series.SeriesInstanceUID };
  }

  /** Notice that what is on screen takes no boxes any more. */
  #look() {
    if (!this.task && boxes.placing) rest();
    this.#changed();
  }

  #rest() {
    const segment = chosenSegment();
    if (boxes.placing) rest();
    if (session.work && segment) activate(session.work.segmentationId, segment.index);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const scribbles = new Scribbles();
