// The segmentations being worked on, one for each series; what was changed in them, and since when.

import { Measuring } from "./measuring.js";
import * as segmentation from "./segmentation.js";
import { words } from "./view.js";

/** @typedef {import("./ohif.js").DisplaySet} DisplaySet */
/** @typedef {import("./client.js").Label} Label */

/**
 * The segmentation of one series.
 * @typedef {object} Work
 * @property {DisplaySet} series
 * @property {string|null} task whose labels these are, if it is one task's
 * @property {Label[]} labels
 * @property {string} segmentationId
 * @property {string} title what it began from
 * @property {string|null} base id of the stored version it goes on from
 * @property {boolean} unsaved
 * @property {Measuring} measuring
 */

/**
 * Where work begins.
 * @typedef {object} Beginning
 * @property {string|null} task
 * @property {Label[]} labels
 * @property {import("./nifti.js").LabelVolume|null} volume
 * @property {string} title
 * @property {string|null} base
 * @property {boolean} [unsaved] what is shown is stored nowhere yet
 * @property {boolean} [restored] what it began from is not known any more
 */

/** Dispatches `change`, and `edited` with the work as detail. */
export class Works extends EventTarget {
  /** @type {Map<string, Work>} by display set */ #works = new Map();

  /** @param {DisplaySet|null} series @returns {Work|null} */
  of(series) {
    return (series && this.#works.get(series.displaySetInstanceUID)) ?? null;
  }

  /** @returns {boolean} whether anything is not submitted, as far as anybody has looked */
  get unsaved() {
    return [...this.#works.values()].some((work) => work.unsaved || work.measuring.unsettled);
  }

  /** Take leave of what is not submitted. */
  abandon() {
    for (const work of this.#works.values()) {
      work.unsaved = false;
      work.measuring.stop();
    }
  }

  /**
   * Show labels, and take them as the work on a series from now on.
   * @param {DisplaySet} series
   * @param {Beginning} beginning
   */
  async begin(series, { task, labels, volume, title, base, unsaved = false, restored = false }) {
    const before = this.of(series);
    const name = `${task ? words(task) : "Labels"} from ${title}`;
    const segmentationId = await segmentation.show(series, { title: name, labels, volume });
    const measuring = new Measuring(series, segmentationId, {
      measured: () => this.#changed(),
      edited: () => this.#edited(work),
    });
    const work = { series, task, labels, segmentationId, title, base, unsaved, measuring };
    this.#works.set(series.displaySetInstanceUID, work);
    if (before) segmentation.remove(before.segmentationId);
    before?.measuring.stop();
    if (restored) measuring.look();
    else measuring.begin();
    if (unsaved) this.#edited(work);
  }

  /**
   * Look for changes in a segmentation that somebody may have drawn on.
   * @param {string} segmentationId
   */
  look(segmentationId) {
    this.#of(segmentationId)?.measuring.look();
  }

  /** @param {string} segmentationId that OHIF has no more */
  remove(segmentationId) {
    const work = this.#of(segmentationId);
    if (!work) return;
    work.measuring.stop();
    this.#works.delete(work.series.displaySetInstanceUID);
    this.#changed();
  }

  /** Forget what OHIF has forgotten. */
  prune() {
    for (const { segmentationId } of [...this.#works.values()]) {
      if (!segmentation.exists(segmentationId)) this.remove(segmentationId);
    }
  }

  /** @param {string} segmentationId */
  #of(segmentationId) {
    return [...this.#works.values()].find((work) => work.segmentationId === segmentationId);
  }

  /** @param {Work} work */
  #edited(work) {
    work.unsaved = true;
    this.dispatchEvent(new CustomEvent("edited", { detail: work }));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
