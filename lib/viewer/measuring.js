// Keeps the measures of one segmentation up to date while it is drawn on, a few milliseconds at a time.

import { Measures, fingerprint, tally } from "./measures.js";
import { imageValues, loadImage } from "./ohif.js";
import { exists, gridOf, slicesOf } from "./segmentation.js";
import { sizeUnit } from "./sizes.js";

/** @typedef {import("./ohif.js").DisplaySet} DisplaySet */

const AT_ONCE_MS = 8;
const PAUSE_MS = 250;
const TELL_MS = 500;

export class Measuring {
  /** @type {Set<number>} slices to measure */ #waiting = new Set();
  /** @type {Set<number>} slices whose image could not be had */ #lost = new Set();
  /** @type {(Uint8Array|Uint16Array)[]|null} */ #before = null;
  /** @type {number[]} fingerprints of the slices as they were seen last */ #prints = [];
  /** @type {Set<number>} slices whose measures do not hold any more, though they were not changed */ #stale = new Set();
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  #told = -TELL_MS;
  #stopped = false;

  /**
   * @param {DisplaySet} series
   * @param {string} segmentationId
   * @param {{measured: () => void, edited: () => void}} tell what is called when there is something new, and when
   *   voxels were changed: Cornerstone says so of a segmentation that was only shown, too
   */
  constructor(series, segmentationId, tell) {
    const grid = gridOf(series);
    this.unit = sizeUnit(series, grid);
    this.imageIds = series.imageIds ?? [];
    this.segmentationId = segmentationId;
    this.tell = tell;
    this.measures = new Measures({ slices: grid.sizes[2], perVoxel: this.unit.perVoxel });
    this.known = this.measures.all;
  }

  /** @param {number} index @returns {import("./measures.js").Measure|undefined} */
  of(index) {
    return this.known.get(index);
  }

  /** @returns {boolean} whether there may be changes that nobody has looked at yet */
  get unsettled() {
    return this.#waiting.size > 0;
  }

  /**
   * Changes count from here on.
   * @param {Uint8Array|Uint16Array} [data] what was drawn then; what is drawn now, if it is left out
   */
  begin(data) {
    const drawn = slicesOf(this.segmentationId);
    let offset = 0;
    this.#before = drawn.map((slice) => (data ? data.slice(offset, (offset += slice.length)) : slice.slice()));
    this.#prints = this.#before.map(fingerprint);
    this.#stale = new Set(this.#before.keys());
    this.measures.compares = true;
    this.look();
  }

  /** Look for slices that were changed, soon: Cornerstone does not say of a stack which they are. */
  look() {
    for (const slice of this.imageIds.keys()) this.#waiting.add(slice);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#work(), PAUSE_MS);
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** Measure for some milliseconds, then let the page breathe. */
  #work() {
    if (this.#stopped || !exists(this.segmentationId)) return;
    const drawn = slicesOf(this.segmentationId);
    const until = performance.now() + AT_ONCE_MS;
    let edited = false;
    for (const slice of this.#waiting) {
      if (performance.now() > until) break;
      this.#waiting.delete(slice);
      const print = fingerprint(drawn[slice]);
      const changed = print !== this.#prints[slice];
      if (!changed && !this.#stale.delete(slice) && !this.measures.lacksImage(slice)) continue;
      edited ||= changed;
      this.#prints[slice] = print;
      const image = imageValues(this.imageIds[slice]);
      this.measures.set(slice, tally(drawn[slice], { before: this.#before?.[slice] ?? null, image }));
    }
    if (edited) this.tell.edited();
    if (this.#waiting.size) {
      this.#timer = setTimeout(() => this.#work());
      return;
    }
    const lacking = this.#lacking;
    if (lacking < 0 || performance.now() - this.#told > TELL_MS) {
      this.#told = performance.now();
      this.known = this.measures.all;
      this.tell.measured();
    }
    if (lacking >= 0) this.#fetch(lacking);
  }

  /** @returns {number} the next slice that holds a segment and was not decoded yet, -1 if there is none */
  get #lacking() {
    return this.imageIds.findIndex((_, index) => !this.#lost.has(index) && this.measures.lacksImage(index));
  }

  /** @param {number} slice to have decoded */
  async #fetch(slice) {
    try {
      await loadImage(this.imageIds[slice]);
    } catch {
      this.#lost.add(slice); // the viewer itself says so when somebody looks at it
    }
    if (this.#waiting.size) return; // an edit came first, and looks again by itself
    this.#waiting.add(slice);
    this.#work();
  }
}
