// What a reader paints inside and outside of a structure, so that the scribbles task cuts it out.

import { writeNifti } from "./nifti.js";
import { activeSegment, activeSegmentation, takeBrush } from "./ohif.js";
import { activate, attach, exists, read, remove, replace, show } from "./segmentation.js";
import { session } from "./session.js";
import { INSIDE, OUTSIDE, strokePrompts } from "./strokes.js";
import { words } from "./view.js";

const STROKES = [OUTSIDE, INSIDE];

/** Dispatches `change`. Strokes are a segmentation of their own beside the work, and are never submitted. */
class Scribbles extends EventTarget {
  /** @type {Map<string, string>} segmentation that holds the strokes, by display set */ #strokes = new Map();

  constructor() {
    super();
    session.addEventListener("stored", () => this.clear());
  }

  /** @returns {import("./client.js").Task|null} the task that cuts by strokes, if labels are on screen */
  get task() {
    const { series, work, tasks } = session;
    if (!series || !work || session.unfit) return null;
    return tasks.find(({ kind, modality }) => kind === "scribbles" && modality.includes(series.Modality)) ?? null;
  }

  /** @returns {import("./client.js").Label|null} the segment that the strokes are about */
  get segment() {
    const { work } = session;
    const active = work ? activeSegment(work.segmentationId) : undefined;
    return work?.labels.find(({ index }) => index === active) ?? null;
  }

  /** @returns {boolean} whether the open series has strokes, or may have */
  get any() {
    return this.#id !== null;
  }

  /** @returns {"inside"|"outside"|null} the strokes that tools draw now; null while they draw segments */
  get painting() {
    const id = this.#id;
    if (!id || activeSegmentation() !== id) return null;
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

  /** Have the structure cut out; the answer replaces what is drawn of its segment. */
  async cut() {
    const { task, segment } = this;
    const { work } = session;
    const id = this.#id;
    if (!task || !segment || !work || !id) return;
    await session.ask(task, {
      request: async () => ({
        prompts: strokePrompts(segment.name),
        label: await writeNifti(read(work.series, id)),
      }),
      take: async ({ volume }) => {
        replace(work.series, work.segmentationId, { index: segment.index, volume });
        session.tell("info", `Cut out ${words(segment.name)}. Paint more strokes and cut again, or submit.`);
      },
    });
    this.#changed();
  }

  /** Take all strokes of the open series away. */
  clear() {
    const id = this.#id;
    if (!id) return;
    this.#rest();
    remove(id);
    this.#changed();
  }

  /** @returns {string|null} */
  get #id() {
    const id = this.#strokes.get(session.series?.displaySetInstanceUID ?? "");
    return id && exists(id) ? id : null;
  }

  #rest() {
    const { segment } = this;
    if (session.work && segment) activate(session.work.segmentationId, segment.index);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const scribbles = new Scribbles();
