// What the annotator is doing: it outlives the panel, which OHIF takes away whenever its tab is closed.

import * as client from "./client.js";
import * as delivery from "./delivery.js";
import { draft } from "./drafting.js";
import { unfit } from "./fit.js";
import { labelsToContinue } from "./labels.js";
import { readNifti, writeNifti } from "./nifti.js";
import * as ohif from "./ohif.js";
import * as segmentation from "./segmentation.js";

/** @typedef {import("./ohif.js").DisplaySet} DisplaySet */

/**
 * The segmentation of one series.
 * @typedef {object} Work
 * @property {DisplaySet} series
 * @property {string|null} task whose labels these are, if it is one task's
 * @property {client.Label[]} labels
 * @property {string} segmentationId
 * @property {boolean} unsaved
 * @property {Map<number, segmentation.SegmentSize>} sizes
 */

/**
 * @typedef {object} Message
 * @property {"info"|"good"|"bad"} kind
 * @property {string} text
 */

const USER = "carina.user";
const STRATEGY = "carina.strategy";
const TASK = "carina.task";
const MEASURE_MS = 400;

class Session extends EventTarget {
  /** @type {client.Task[]} */ tasks = [];
  /** @type {{name: string, description: string}[]} */ strategies = [];
  /** @type {Map<string, string>} task to when its model was trained */ trained = new Map();
  /** @type {DisplaySet|null} */ series = null;
  /** @type {any[]} versions stored of the open series, oldest first */ versions = [];
  /** @type {Map<string, Work>} by display set */ works = new Map();
  /** @type {{requestId: string, image: string, fraction: number, text: string}|null} */ running = null;
  /** @type {string|null} what is going on that cannot be cancelled */ busy = null;
  /** @type {Message|null} */ message = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */ #measuring;
  /** @type {(() => void)[]} */ #endings = [];

  constructor() {
    super();
    window.addEventListener("beforeunload", (event) => this.unsaved && event.preventDefault());
  }

  /** Ask the server what it offers, and follow what the user opens; again for every study, as OHIF forgets listeners. */
  async start() {
    this.#endings.forEach((end) => end());
    this.#endings = [
      ohif.onSeriesChange(() => this.look()),
      segmentation.follow({ edited: (id) => this.#edited(id), removed: (id) => this.#removed(id) }),
    ];
    for (const [uid, work] of this.works) if (!segmentation.exists(work.segmentationId)) this.works.delete(uid);
    await this.attempt(null, async () => {
      [this.tasks, this.strategies] = await Promise.all([client.tasks(), client.strategies()]);
      await Promise.all(this.tasks.filter((task) => task.served).map((task) => this.#askWhenTrained(task)));
    });
    this.look();
  }

  get user() {
    return localStorage.getItem(USER) ?? "";
  }

  set user(name) {
    localStorage.setItem(USER, name.trim());
    this.#changed();
  }

  get strategy() {
    const kept = localStorage.getItem(STRATEGY) ?? "";
    return this.strategies.some(({ name }) => name === kept) ? kept : (this.strategies[0]?.name ?? "");
  }

  set strategy(name) {
    localStorage.setItem(STRATEGY, name);
  }

  /** @returns {string|null} why no task fits what is open, if it is not for images of its kind */
  get unfit() {
    const open = this.series ?? ohif.openOther();
    return open ? unfit(open) : null;
  }

  /** @returns {client.Task[]} tasks made for the open series' modality */
  get fitting() {
    if (this.unfit) return [];
    return this.tasks.filter((task) => this.series && task.modality.includes(this.series.Modality));
  }

  /** @returns {client.Task|null} the one chosen last; else one with a model */
  get task() {
    const fitting = this.fitting;
    const chosen = localStorage.getItem(TASK);
    return fitting.find(({ name }) => name === chosen) ?? fitting.find(({ served }) => served) ?? fitting[0] ?? null;
  }

  /** @returns {Work|null} */
  get work() {
    return (this.series && this.works.get(this.series.displaySetInstanceUID)) ?? null;
  }

  get unsaved() {
    return [...this.works.values()].some((work) => work.unsaved);
  }

  /** @param {string} name */
  choose(name) {
    localStorage.setItem(TASK, name);
    this.#changed();
  }

  /** Notice which series is open. */
  look() {
    const series = ohif.openSeries();
    const another = series?.displaySetInstanceUID !== this.series?.displaySetInstanceUID;
    this.series = series;
    if (this.work) segmentation.attach(this.work.series, this.work.segmentationId, this.work.labels);
    if (another) {
      this.versions = [];
      if (series) this.#askVersions(series);
    }
    this.#changed();
  }

  /** Let the chosen task draft the open series. */
  async draft() {
    const { series, task } = this;
    if (!series || !task || this.running) return;
    const requestId = crypto.randomUUID();
    this.running = { requestId, image: series.SeriesInstanceUID, fraction: 0, text: "" };
    await this.attempt(null, async () => {
      const { volume, params } = await draft({
        task: task.name,
        image: series.SeriesInstanceUID,
        requestId,
        tell: (progress) => {
          if (this.running?.requestId === requestId) this.running = { ...this.running, ...progress };
          this.#changed();
        },
      });
      const work = await this.#show(series, {
        task: task.name,
        labels: task.labels,
        volume,
        title: `${task.name} draft`,
      });
      work.unsaved = true;
      task.served = params.model_version ?? task.served;
      this.message = {
        kind: "info",
        text: `Drafted by ${task.name}, model ${params.model_version}. Correct it, then submit.`,
      };
    });
    this.running = null;
    this.#changed();
  }

  /** Ask the server to stop the draft. */
  async cancel() {
    const running = this.running;
    if (running) await this.attempt(null, () => client.cancelInference(running.requestId));
  }

  /** Draw from nothing, with the chosen task's labels. */
  async begin() {
    const { series, task } = this;
    if (!series || !task) return;
    const what = { task: task.name, labels: task.labels, volume: null, title: `${task.name} by hand` };
    await this.attempt("preparing", () => this.#show(series, what));
  }

  /** Go on from the newest version stored of the open series. */
  async openLatest() {
    const { series } = this;
    const latest = this.versions.at(-1);
    if (!series || !latest) return;
    await this.attempt("opening the stored version", async () => {
      const task = this.tasks.find(({ name }) => name === latest.task) ?? null;
      const labels = labelsToContinue(latest.labels, task, this.tasks);
      const volume = await readNifti(await client.labelFile(latest.id, latest.tag));
      await this.#show(series, { task: latest.task, labels, volume, title: `version ${this.versions.length}` });
    });
  }

  /** Send what is on screen as a new version; the server brings it to the PACS. */
  async submit() {
    const { work } = this;
    if (!work) return;
    if (!this.user) {
      this.message = { kind: "bad", text: "A label must say who made it. Enter your name above, then submit." };
      this.#changed();
      return;
    }
    await this.attempt("submitting", async () => {
      const volume = segmentation.read(work.series, work.segmentationId);
      const names = segmentation.names(work.segmentationId);
      work.unsaved = false; // an edit from here on counts as new
      try {
        const image = work.series.SeriesInstanceUID;
        const file = await writeNifti(volume);
        const stored = await client.submit({ image, file, names, task: work.task, user: this.user });
        await this.#askVersions(work.series);
        this.message = { kind: "good", text: `Stored as version ${this.versions.length}. On its way to the PACS.` };
        this.#followDelivery(stored.label);
      } catch (error) {
        work.unsaved = true;
        throw error;
      }
    });
  }

  /** Open the series the strategy chooses. */
  async next() {
    if (this.unsaved && !confirm("Your changes were not submitted. Leave them?")) return;
    await this.attempt("asking for the next case", async () => {
      const found = await client.nextCase({ strategy: this.strategy, user: this.user });
      if (!found.id || !found.StudyInstanceUID) {
        this.message = { kind: "good", text: "Every series has its label. There is no next case." };
        return;
      }
      for (const work of this.works.values()) work.unsaved = false;
      const address = new URL(location.href);
      address.search = new URLSearchParams({
        StudyInstanceUIDs: found.StudyInstanceUID,
        initialSeriesInstanceUID: found.id,
      }).toString();
      location.assign(address);
    });
  }

  /** @param {client.Label} label */
  addSegment(label) {
    if (this.work) segmentation.addSegment(this.work.segmentationId, label);
    this.#changed();
  }

  /**
   * Make a segment the one that tools draw, and show the slice that holds most of it.
   * @param {number} index
   */
  goTo(index) {
    const { work } = this;
    if (!work) return;
    segmentation.activate(work.segmentationId, index);
    const slice = work.sizes.get(index)?.slice ?? -1;
    if (slice >= 0) ohif.showSlice(slice);
  }

  /** @returns {{label: client.Label, size: segmentation.SegmentSize|undefined}[]} listed segments, by index */
  get segments() {
    const { work } = this;
    if (!work) return [];
    const listed = new Set(segmentation.names(work.segmentationId).map(({ idx }) => idx));
    return work.labels
      .filter(({ index }) => listed.has(index))
      .map((label) => ({ label, size: work.sizes.get(label.index) }));
  }

  /**
   * Run something; if it fails, say why.
   * @param {string|null} doing shown meanwhile
   * @param {() => Promise<unknown>} action
   */
  async attempt(doing, action) {
    this.busy = doing;
    this.message = null;
    this.#changed();
    try {
      await action();
    } catch (error) {
      const cancelled = error instanceof client.ServerError && error.kind === "CancelledError";
      this.message = { kind: cancelled ? "info" : "bad", text: error instanceof Error ? error.message : String(error) };
      if (!(error instanceof client.ServerError)) console.error(error);
    }
    this.busy = null;
    this.#changed();
  }

  /**
   * @param {DisplaySet} series
   * @param {{task: string|null, labels: client.Label[], volume: import("./nifti.js").LabelVolume|null, title: string}} what
   * @returns {Promise<Work>}
   */
  async #show(series, { task, labels, volume, title }) {
    const before = this.works.get(series.displaySetInstanceUID);
    const segmentationId = await segmentation.show(series, { title, labels, volume });
    const work = { series, task, labels, segmentationId, unsaved: false, sizes: new Map() };
    this.works.set(series.displaySetInstanceUID, work);
    if (before) segmentation.remove(before.segmentationId);
    this.#measure(work);
    return work;
  }

  /** @param {string} segmentationId */
  #removed(segmentationId) {
    for (const [uid, work] of this.works) if (work.segmentationId === segmentationId) this.works.delete(uid);
    this.#changed();
  }

  /** @param {string} segmentationId */
  #edited(segmentationId) {
    const work = [...this.works.values()].find((candidate) => candidate.segmentationId === segmentationId);
    if (!work) return;
    work.unsaved = true;
    clearTimeout(this.#measuring);
    this.#measuring = setTimeout(() => this.#measure(work), MEASURE_MS);
    this.#changed();
  }

  /** @param {Work} work */
  #measure(work) {
    work.sizes = segmentation.sizes(segmentation.read(work.series, work.segmentationId));
    this.#changed();
  }

  /** @param {client.Task} task */
  async #askWhenTrained(task) {
    const { versions } = await client.models(task.name);
    const served = versions.find((/** @type {any} */ version) => version.version === task.served);
    if (served?.created) this.trained.set(task.name, served.created);
  }

  /** @param {DisplaySet} series */
  async #askVersions(series) {
    try {
      const found = await client.versions(series.SeriesInstanceUID);
      if (this.series?.SeriesInstanceUID === series.SeriesInstanceUID) {
        this.versions = found.filter((/** @type {any} */ version) => !version.withdrawn && version.tag === "final");
      }
    } catch (error) {
      this.message = { kind: "bad", text: error instanceof Error ? error.message : String(error) };
    }
    this.#changed();
  }

  /** @param {string} label */
  async #followDelivery(label) {
    const stored = `Stored as version ${this.versions.length}`;
    await delivery.follow(label, ({ kind, text }) => {
      this.message = { kind, text: stored + text };
      this.#changed();
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

export const session = new Session();
