// What the annotator is doing: it outlives the panel, which OHIF takes away whenever its tab is closed.

import { choices } from "./choices.js";
import * as client from "./client.js";
import { doubts, draft } from "./drafting.js";
import { drawn, unfit } from "./fit.js";
import { labelsToContinue } from "./labels.js";
import { nextCase, whyHandedOut } from "./next_case.js";
import { readNifti, writeNifti } from "./nifti.js";
import { Offers } from "./offers.js";
import * as ohif from "./ohif.js";
import * as segmentation from "./segmentation.js";
import { Talk } from "./talk.js";
import { told } from "./view.js";
import { Works } from "./works.js";

/** @typedef {import("./ohif.js").DisplaySet} DisplaySet */
/** @typedef {import("./works.js").Work} Work */

/**
 * What a task is asked, and what becomes of its answer.
 * @typedef {object} Asked
 * @property {() => Promise<{prompts: Record<string, any>, label?: Blob}>} request
 * @property {(answer: {volume: import("./nifti.js").LabelVolume, params: any}) => Promise<void>} take
 */

/** Dispatches `change`, and `stored` with the work as detail once a version of it has arrived. */
class Session extends Talk {
  offers = new Offers();
  /** @type {DisplaySet|null} */ series = null;
  /** @type {any[]} label maps stored of the open series, oldest first */ versions = [];
  /** @type {client.Task|null} whose findings of the open series are answered */ answering = null;
  works = new Works();
  /** @type {{requestId: string, image: string, fraction: number, text: string}|null} */ running = null;
  /** @type {(() => void)[]} */ #endings = [];

  constructor() {
    super();
    window.addEventListener("beforeunload", (event) => this.works.unsaved && event.preventDefault());
    this.works.addEventListener("change", () => this.redraw());
  }

  /** Ask the server what it offers, and follow what the user opens; again for every study, as OHIF forgets listeners. */
  async start() {
    this.#endings.forEach((end) => end());
    this.#endings = [
      ohif.onSeriesChange(() => this.look()),
      segmentation.follow({ edited: (id) => this.works.look(id), removed: (id) => this.works.remove(id) }),
    ];
    this.works.prune();
    await this.attempt(null, () => this.askTasks());
    this.look();
  }

  /** Ask again which tasks there are, and which models are served. */
  async askTasks() {
    await this.offers.ask();
    this.redraw();
  }

  /** @returns {string|null} why no task fits what is open, if it is not for images of its kind */
  get unfit() {
    const open = this.series ?? ohif.openOther();
    return open ? unfit(open) : null;
  }

  /** @returns {client.Task[]} tasks that draft the open series by themselves */
  get fitting() {
    const { series } = this;
    return this.unfit || !series ? [] : this.offers.drawing(series.Modality);
  }

  /** @returns {client.Task|null} the one chosen last; else one with a model */
  get task() {
    const fitting = this.fitting;
    return fitting.find(({ name }) => name === choices.task) ?? fitting.find(({ served }) => served) ?? fitting[0] ?? null;
  }

  /** @returns {client.Task|null} whose training and models are shown: the one whose findings are answered, or the chosen one */
  get learner() {
    return this.answering ?? this.task;
  }

  /** @returns {Work|null} */
  get work() {
    return this.works.of(this.series);
  }

  /** @returns {client.Task|null} whose labels are drawn, whose findings are answered, or whose labels would be drawn */
  get subject() {
    const { work } = this;
    return work ? this.offers.task(work.task) : this.learner;
  }

  /** @param {string} name */
  choose(name) {
    choices.task = name;
    this.redraw();
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
    this.redraw();
  }

  /**
   * Let a task draft the open series.
   * @param {{task?: client.Task|null, prompts?: () => Record<string, any>}} [what] else the chosen task, by itself
   */
  async draft({ task = this.task, prompts = () => ({}) } = {}) {
    const { series } = this;
    if (!series || !task) return;
    await this.ask(task, {
      request: async () => ({ prompts: prompts() }),
      take: async ({ volume, params }) => {
        const { name, labels } = task;
        const base = this.#newest;
        await this.works.begin(series, { task: name, labels, volume, title: "the draft", base, unsaved: true });
        task.served = params.model_version ?? task.served;
        this.message = {
          kind: "info",
          text: `Drafted by ${task.name}, model ${params.model_version}. Correct it, then submit. ${doubts(params)}`.trim(),
        };
      },
    });
  }

  /**
   * Ask a task about the open series, and say meanwhile how far it is.
   * @param {client.Task} task
   * @param {Asked} asked
   */
  async ask(task, { request, take }) {
    const { series } = this;
    if (!series || this.running) return;
    const requestId = crypto.randomUUID();
    const image = series.SeriesInstanceUID;
    this.running = { requestId, image, fraction: 0, text: "" };
    await this.attempt(null, async () => {
      const tell = (/** @type {import("./drafting.js").DraftProgress} */ progress) => {
        if (this.running?.requestId === requestId) this.running = { ...this.running, ...progress };
        this.redraw();
      };
      await take(await draft({ task: task.name, image, requestId, tell, ...(await request()) }));
    });
    this.running = null;
    this.redraw();
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
    const what = { task: task.name, labels: task.labels, volume: null, title: "nothing", base: this.#newest };
    await this.attempt("preparing", () => this.works.begin(series, what));
  }

  /** Go on from the newest version stored of the open series. */
  async openLatest() {
    const { series } = this;
    const latest = this.versions.at(-1);
    if (!series || !latest || this.busy) return;
    await this.attempt("opening the stored version", async () => {
      const { tasks } = this.offers;
      const labels = labelsToContinue(latest.labels, this.offers.task(latest.task), tasks);
      const volume = await readNifti(await client.labelFile(latest.id, latest.tag));
      const title = `version ${this.versions.length}`;
      await this.works.begin(series, { task: latest.task, labels, volume, title, base: latest.id });
    });
  }

  /**
   * Go on from what was drawn before and not submitted.
   * @param {import("./works.js").Beginning} beginning
   */
  async resume(beginning) {
    const { series } = this;
    if (series) await this.attempt("bringing your changes back", () => this.works.begin(series, beginning));
  }

  /** Send what is on screen as a new version; the server brings it to the PACS. */
  async submit() {
    const { work } = this;
    if (!work || !this.named("A label must say who made it.")) return;
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
        work.title = `version ${this.versions.length}`;
        work.base = stored.label;
        work.measuring.begin(volume.data);
        this.followDelivery(stored.label, `Stored as version ${this.versions.length}`);
      } catch (error) {
        work.unsaved = true;
        throw error;
      }
    });
    if (!work.unsaved) this.dispatchEvent(new CustomEvent("stored", { detail: work }));
  }

  /** Open the series the strategy chooses. */
  async next() {
    if (this.works.unsaved && !confirm("Your changes were not submitted. Leave them?")) return;
    await this.attempt("asking for the next case", async () => {
      const { offers, user, subject } = this;
      const found = await nextCase({ strategy: offers.strategy, user, task: subject?.name ?? null });
      if (!found) return this.tell("good", "Every series has its label. There is no next case.");
      if (found.image === this.series?.SeriesInstanceUID) {
        return this.tell("info", "This case is the next: submit or skip it, and another one comes.");
      }
      this.works.abandon();
      location.assign(found.address);
    });
  }

  /** @returns {string} why the open series was handed out, if it was */
  get why() {
    return this.series ? whyHandedOut(this.series.SeriesInstanceUID) : "";
  }

  /** @returns {string|null} id of the newest version stored of the open series */
  get #newest() {
    return this.versions.at(-1)?.id ?? null;
  }

  /** @param {DisplaySet} series */
  async #askVersions(series) {
    try {
      const found = await client.versions(series.SeriesInstanceUID);
      if (this.series?.SeriesInstanceUID === series.SeriesInstanceUID) {
        this.versions = found.filter((/** @type {any} */ version) => !version.withdrawn && version.tag === "final" && drawn(version));
      }
    } catch (error) {
      this.message = { kind: "bad", text: told(error) };
    }
    this.redraw();
  }
}

export const session = new Session();
