// What is said of one image, or of one place in it: by a model, by the reader, and by those who answered before.

import * as client from "./client.js";
import { placeKey } from "./places.js";

/** @typedef {import("./places.js").Place} Place */

/**
 * @typedef {object} Told what the model says of one finding
 * @property {string} label
 * @property {number} score calibrated probability, 0–1
 * @property {"positive"|"negative"|"uncertain"} state
 * @property {boolean} [calibrated] not known of what was stored elsewhere
 */

/**
 * @typedef {object} Measured what was measured on the image
 * @property {string} meaning
 * @property {number} value
 * @property {string} unit UCUM; "1" for none
 */

/** @typedef {boolean|null} Answer null for "unsure" */

/**
 * @typedef {object} Said by a model
 * @property {Told[]} told
 * @property {string|null} model its version; null without one
 * @property {Measured[]} measured
 */

/**
 * What is said of one image, or of one place in it, for one task.
 * @typedef {object} Sheet
 * @property {client.Task} task
 * @property {string} image
 * @property {Place|null} place null for all of the image
 * @property {Map<string, Told>} told empty without a model
 * @property {string|null} model its version
 * @property {Measured[]} measured
 * @property {Map<string, Answer>} answers the reader's; a finding that is missing was not looked for
 * @property {number} versions stored so far
 * @property {boolean} unsaved
 * @property {{finding: string, segmentationId: string}|null} heat shown
 */

/** @typedef {{task: client.Task, image: string, place: Place|null}} Subject what a sheet is about */

/** @type {Said} */
export const NOTHING = { told: [], model: null, measured: [] };

/** The sheets of the page, in the order they were opened. */
export class Sheets {
  /** @type {Map<string, Sheet>} */ #all = new Map();

  /** @param {Subject} subject @returns {Sheet|null} */
  of(subject) {
    return this.#all.get(keyOf(subject)) ?? null;
  }

  /** @param {client.Task} task @param {string} image @returns {Sheet[]} of places in an image */
  atPlaces(task, image) {
    return [...this.#all.values()].filter((sheet) => sheet.place && sheet.task.name === task.name && sheet.image === image);
  }

  /** @returns {boolean} whether an answer was not submitted */
  get unsaved() {
    return [...this.#all.values()].some(({ unsaved }) => unsaved);
  }

  /**
   * Open a sheet, or bring what a model says of it up to date; answers stay.
   * @param {Subject} subject
   * @param {Said} said
   * @param {client.ToldVersion[]} stored of the subject, oldest first
   */
  open({ task, image, place }, { told, model, measured }, stored) {
    const key = keyOf({ task, image, place });
    const before = this.#all.get(key);
    this.#all.set(key, {
      task,
      image,
      place,
      told: new Map(told.map((one) => [one.label, one])),
      model,
      measured,
      answers: before?.answers ?? answersOf(stored.at(-1)),
      versions: stored.length,
      unsaved: before?.unsaved ?? false,
      heat: before?.heat ?? null,
    });
  }

  /** @param {Sheet} sheet */
  close(sheet) {
    this.#all.delete(keyOf(sheet));
  }
}

/** @param {Subject} subject */
const keyOf = ({ task, image, place }) => `${image} ${task.name} ${placeKey(place)}`;

/**
 * @param {client.Task} task
 * @param {string} image
 * @returns {Promise<client.ToldVersion[]>} what readers said before of an image and of places in it, oldest first
 */
export async function storedOf(task, image) {
  const versions = await client.versions(image);
  return versions.filter(
    (/** @type {client.ToldVersion & {task: string, tag: string, withdrawn: boolean}} */ version) =>
      version.task === task.name && version.tag === "final" && !version.withdrawn,
  );
}

/** @param {client.ToldVersion[]} versions @param {Place|null} place @returns {client.ToldVersion[]} those about it */
export function about(versions, place) {
  return versions.filter((version) => placeKey(version.place ?? null) === placeKey(place));
}

/** @param {client.ToldVersion} version @returns {Said} what a model had said then */
export function saidBefore({ prediction = [], model_version: model, measurements: measured = [] }) {
  return prediction.length ? { told: prediction, model, measured } : NOTHING;
}

/** @param {client.ToldVersion|undefined} version @returns {Map<string, Answer>} */
function answersOf(version) {
  const unsure = (version?.unsure ?? []).map((name) => /** @type {[string, Answer]} */ ([name, null]));
  return new Map([...Object.entries(version?.findings ?? {}), ...unsure]);
}
