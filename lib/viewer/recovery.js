// When unsaved work is kept in the browser, offered back, and forgotten.

import { find, forget, keep } from "./local_draft.js";
import { readNifti, writeNifti } from "./nifti.js";
import { read } from "./segmentation.js";
import { session } from "./session.js";
import { told } from "./view.js";

/** @typedef {import("./local_draft.js").LocalDraft} LocalDraft */
/** @typedef {import("./works.js").Work} Work */

const PAUSE_MS = 1500;
/** A page never overwrites what another one kept: it has its own place. */
const PAGE = crypto.randomUUID();

class Recovery extends EventTarget {
  /** @type {LocalDraft[]} of the open series and this user, newest first */ offered = [];
  /** @type {string|null} when the open work was kept last */ kept = null;
  /** @type {string} why it could not be kept */ problem = "";
  /** @type {Map<Work, Set<string>>} under which keys each work is kept */ #keys = new Map();
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #timer;
  /** @type {Set<Work>} */ #waiting = new Set();
  #asked = "";

  constructor() {
    super();
    session.addEventListener("change", () => this.#look());
    session.works.addEventListener("edited", (event) => this.#later(/** @type {CustomEvent} */ (event).detail));
    session.addEventListener("stored", (event) => this.#done(/** @type {CustomEvent} */ (event).detail));
    document.addEventListener("visibilitychange", () => document.hidden && this.#keepAll());
  }

  /** @param {LocalDraft} draft */
  async restore(draft) {
    await session.resume({
      task: draft.task,
      labels: draft.labels,
      volume: await readNifti(new Blob([draft.file])),
      title: draft.title,
      base: draft.base,
      unsaved: true,
      restored: true,
    });
    if (!session.work) return;
    this.#keysOf(session.work).add(draft.key);
    this.#withdraw(draft);
  }

  /** @param {LocalDraft} draft */
  async discard(draft) {
    await session.attempt("discarding", () => forget(draft.key));
    this.#withdraw(draft);
  }

  /**
   * @param {LocalDraft} draft
   * @returns {boolean} whether somebody stored a version after it began
   */
  outdated(draft) {
    return (session.versions.at(-1)?.id ?? null) !== draft.base;
  }

  /** @param {LocalDraft} draft */
  #withdraw(draft) {
    this.offered = this.offered.filter(({ key }) => key !== draft.key);
    this.#changed();
  }

  /** Ask the browser for what it keeps, once for each series and user. */
  async #look() {
    const image = session.series?.SeriesInstanceUID ?? "";
    const asked = `${image} ${session.user}`;
    if (asked === this.#asked) return;
    this.#asked = asked;
    this.offered = [];
    this.kept = null;
    if (image && session.user) {
      try {
        const found = await find(image, session.user);
        if (asked === this.#asked) this.offered = found.filter(({ key }) => !key.startsWith(PAGE));
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#changed();
  }

  /** @param {Work} work */
  #later(work) {
    this.#waiting.add(work);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#keepAll(), PAUSE_MS);
  }

  async #keepAll() {
    clearTimeout(this.#timer);
    const works = [...this.#waiting];
    this.#waiting.clear();
    for (const work of works) if (work.unsaved) await this.#keep(work);
  }

  /** @param {Work} work */
  async #keep(work) {
    const { task, base, title, labels, series } = work;
    const [image, user, saved] = [series.SeriesInstanceUID, session.user, new Date().toISOString()];
    const key = `${PAGE} ${image} ${task ?? ""} ${user}`;
    try {
      const file = await (await writeNifti(read(series, work.segmentationId))).arrayBuffer();
      await keep({ key, image, user, task, saved, base, title, labels, file });
      const keys = this.#keysOf(work).add(key);
      for (const older of keys) if (older !== key && keys.delete(older)) await forget(older);
      this.kept = saved;
      this.problem = "";
      if (!work.unsaved) await this.#done(work); // submitted meanwhile
    } catch (error) {
      this.#fail(error);
    }
    this.#changed();
  }

  /** @param {Work} work that was submitted */
  async #done(work) {
    const keys = this.#keysOf(work);
    this.#keys.delete(work);
    this.kept = null;
    try {
      for (const key of keys) await forget(key);
    } catch (error) {
      this.#fail(error);
    }
    this.#changed();
  }

  /** @param {Work} work @returns {Set<string>} */
  #keysOf(work) {
    const keys = this.#keys.get(work) ?? new Set();
    this.#keys.set(work, keys);
    return keys;
  }

  /** @param {unknown} error */
  #fail(error) {
    const full = error instanceof DOMException && error.name === "QuotaExceededError";
    const why = full ? "its storage is full" : told(error);
    this.problem = `This browser cannot keep unsaved changes: ${why}. Submit often; a reload would lose them.`;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const recovery = new Recovery();
