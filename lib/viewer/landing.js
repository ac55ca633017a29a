// The landing page: reads the server's JSON again and again, and shows it.

import { h, words } from "./view.js";

const REFRESH_MS = 2000;
const SHOWN = 8;

/** @param {string} path */
async function get(path) {
  const answer = await fetch(path, { cache: "no-store" });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.detail ?? `${path} answered HTTP ${answer.status}.`);
  return content;
}

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * @param {string} id of a table's body
 * @param {(string|Node)[][]} rows
 * @param {string} none what to say when there are none
 */
function table(id, rows, none) {
  const columns = byId(id).parentElement?.querySelectorAll("th").length ?? 1;
  const cells = rows.map((row) =>
    h("tr", {}, ...row.map((cell, place) => h(place ? "td" : "th", place ? {} : { scope: "row" }, cell))),
  );
  byId(id).replaceChildren(
    ...(cells.length ? cells : [h("tr", {}, h("td", { colspan: columns, class: "quiet" }, none))]),
  );
}

/**
 * @param {string} id
 * @param {Record<string, unknown>} facts
 */
function list(id, facts) {
  byId(id).replaceChildren(
    ...Object.entries(facts).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))),
  );
}

/** @param {number} fraction */
const bar = (fraction) => h("progress", { max: 1, value: fraction, "aria-label": `${Math.round(100 * fraction)} %` });

/** @param {number} seconds */
const ago = (seconds) => (seconds < 90 ? `${Math.round(seconds)} s ago` : `${Math.round(seconds / 60)} min ago`);

/** @param {any} info @param {any[]} tasks */
async function showTasks(info, tasks) {
  const models = await Promise.all(tasks.map((task) => get(`/carina/models/${encodeURIComponent(task.name)}`)));
  table(
    "tasks",
    tasks.map((task, place) => {
      const { served, versions } = models[place];
      const trained = versions.find((/** @type {any} */ version) => version.version === served)?.created;
      const when = trained ? ` (${new Date(trained).toLocaleDateString()})` : "";
      return [
        words(task.name),
        task.description,
        String(task.labels.length),
        served ? served + when : "none yet",
        String(versions.length),
      ];
    }),
    "No task is registered.",
  );
  byId("version").textContent = info.version;
}

/** @param {any} info @param {any} store */
function showImages(info, store) {
  const { total, completed } = info.datastore;
  list("images", {
    "In the store": total,
    "With a final label": completed,
    Store: `${store.name}${store.version ? ` ${store.version}` : ""}`,
    State: store.reachable ? "answers" : "does not answer",
  });
}

/** @param {any} deliveries */
function showDeliveries(deliveries) {
  list("deliveries", { Delivered: deliveries.delivered, Waiting: deliveries.pending, Failed: deliveries.failed });
  byId("last-error").textContent = deliveries.last_error ?? "";
  byId("retry").hidden = deliveries.pending + deliveries.failed === 0;
}

async function refresh() {
  try {
    const [info, tasks, store, queue, jobs, deliveries] = await Promise.all(
      ["/info", "/carina/tasks", "/carina/store", "/carina/infer", "/carina/jobs", "/carina/deliveries"].map(get),
    );
    await showTasks(info, tasks);
    showImages(info, store);
    showDeliveries(deliveries);
    table(
      "queue",
      newest(queue).map((one) => [
        words(one.task),
        one.state === "running" ? one.phase : one.state,
        bar(one.fraction),
        ago(one.age_s),
      ]),
      "None since the server started.",
    );
    table(
      "jobs",
      newest(jobs).map((job) => [
        words(job.request.model),
        job.state,
        bar(job.progress),
        job.start_ts ?? "",
        job.error ?? job.message ?? "",
      ]),
      "None yet.",
    );
    byId("problem").hidden = true;
  } catch (error) {
    const text =
      error instanceof TypeError
        ? "The server does not answer. This page tries again."
        : /** @type {Error} */ (error).message;
    if (byId("problem").textContent !== text) byId("problem").textContent = text;
    byId("problem").hidden = false;
  }
}

/** @param {any[]} items oldest first */
const newest = (items) => items.slice(-SHOWN).reverse();

async function keepFresh() {
  if (!document.hidden) await refresh();
  setTimeout(keepFresh, REFRESH_MS);
}

byId("address").textContent = location.origin;
byId("retry").addEventListener("click", async () => {
  await fetch("/carina/deliveries/retry", { method: "POST" }).catch(() => null);
  await refresh();
});
keepFresh();
