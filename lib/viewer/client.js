// carina's server, as the viewer calls it; every failure becomes an error whose message a person can act on.

import { choices } from "./choices.js";

/**
 * @typedef {object} Code
 * @property {string} value
 * @property {string} scheme
 * @property {string} meaning
 */

/**
 * @typedef {object} Label
 * @property {string} name
 * @property {number} index
 * @property {[number, number, number]} colour
 * @property {Code} type
 * @property {Code|null} modifier
 */

/**
 * @typedef {object} Task
 * @property {string} name
 * @property {"segmentation"|"classification"|"scribbles"|"deepedit"} kind
 * @property {string} description
 * @property {string[]} modality
 * @property {number[]|null} crop_mm size of the part of an image that is judged, of a task that judges parts
 * @property {string|null} served
 * @property {{file_name: string, source: string}[]} weights
 * @property {Label[]} labels
 */

/**
 * @typedef {object} Inference
 * @property {string} request_id
 * @property {string} state
 * @property {number} fraction
 * @property {string} phase
 */

export class ServerError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0 when there was no answer
   * @param {string} kind class of the server's error
   */
  constructor(message, status, kind) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServerError(
      "The server does not answer. Check that it runs and try again; what you drew is still here.",
      0,
      "",
    );
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let detail = `The server answered HTTP ${answer.status}. Its log says why.`;
  let kind = "";
  try {
    const problem = JSON.parse(text);
    if (typeof problem.detail === "string") detail = problem.detail;
    kind = String(problem.error ?? "");
  } catch {
    // not ours, such as a proxy's own page: the status says enough
  }
  throw new ServerError(detail, answer.status, kind);
}

/** @param {string} path */
const get = async (path) => (await ask(path)).json();

/** @returns {Promise<Task[]>} */
export const tasks = () => get("/carina/tasks");

/** @param {string} task */
export const models = (task) => get(`/carina/models/${encodeURIComponent(task)}`);

/** @returns {Promise<{name: string, description: string}[]>} */
export async function strategies() {
  const { strategies: found } = await get("/info");
  return Object.entries(found).map(([name, { description }]) => ({ name, description }));
}

/**
 * Draft a series. Ask `inferences` meanwhile how far it is.
 * @param {{task: string, image: string, requestId: string, prompts?: Record<string, any>, label?: Blob|null,
 *   user?: string}} what a label map of strokes may come along
 * @returns {Promise<{file: Blob, params: any}>}
 */
export async function infer({ task, image, requestId, prompts = {}, label = null, user = choices.user }) {
  const form = new FormData();
  const asked = { ...prompts, request_id: requestId, result_extension: ".nii.gz", ...(user ? { user } : {}) };
  form.set("params", JSON.stringify(asked));
  if (label) form.set("label", label, "strokes.nii.gz");
  const address = `/infer/${encodeURIComponent(task)}?image=${encodeURIComponent(image)}&output=all`;
  const parts = await (await ask(address, { method: "POST", body: form })).formData();
  const file = parts.get("image");
  if (!(file instanceof Blob))
    throw new ServerError("The server must send a label map, and sent none. Its log says why.", 200, "");
  return { file, params: JSON.parse(String(parts.get("params"))) };
}

/** @returns {Promise<Inference[]>} all the server remembers, oldest first */
export const inferences = () => get("/carina/infer");

/** @param {string} requestId */
export const cancelInference = (requestId) =>
  ask(`/carina/infer/${encodeURIComponent(requestId)}`, { method: "DELETE" });

/**
 * Every stored version of a series' labels, oldest first.
 * @param {string} image
 */
export const versions = (image) => get(`/carina/annotations/${encodeURIComponent(image)}`);

/**
 * @param {string} label id of a stored version
 * @param {string} tag
 * @returns {Promise<Blob>} .nii.gz
 */
export async function labelFile(label, tag) {
  return (await ask(`/datastore/label?label=${encodeURIComponent(label)}&tag=${encodeURIComponent(tag)}`)).blob();
}

/**
 * @param {string} label id of a stored version
 * @param {string} tag
 */
export const labelInfo = (label, tag) =>
  get(`/datastore/label/info?label=${encodeURIComponent(label)}&tag=${encodeURIComponent(tag)}`);

/**
 * Store a label map as a new version.
 * @param {{image: string, file: Blob, names: {name: string, idx: number}[], task: string|null, user: string}} what
 * @returns {Promise<{image: string, label: string}>}
 */
export async function submit({ image, file, names, task, user }) {
  const form = new FormData();
  form.set("params", JSON.stringify({ label_info: names, user, ...(task ? { model: task } : {}) }));
  form.set("label", file, "label.nii.gz");
  const address = `/datastore/label?image=${encodeURIComponent(image)}&tag=final`;
  return (await ask(address, { method: "PUT", body: form })).json();
}

/**
 * @typedef {object} ToldVersion what a reader said of an image
 * @property {Record<string, boolean>} findings
 * @property {string[]} unsure
 * @property {import("./places.js").Place} [place] which part of the image it is about
 * @property {string|null} model_version of the model that was asked
 * @property {import("./sheets.js").Told[]} [prediction] what that had said
 * @property {import("./sheets.js").Measured[]} [measurements]
 */

/**
 * Store what an image, or a place in it, has and has not as a new version.
 * @param {{image: string, findings: Record<string, boolean|null>, task: string, user: string,
 *   where: Record<string, any>}} what
 * @returns {Promise<{image: string, label: string}>}
 */
export async function submitFindings({ image, findings, task, user, where }) {
  const form = new FormData();
  form.set("params", JSON.stringify({ findings, user, model: task, ...where }));
  const address = `/datastore/label?image=${encodeURIComponent(image)}&tag=final`;
  return (await ask(address, { method: "PUT", body: form })).json();
}

/**
 * @param {string} path
 * @param {object} [params]
 */
async function post(path, params = {}) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(params) };
  return (await ask(path, options)).json();
}

/** @param {Record<string, string|null|undefined>} given @returns {string} a query without what is empty */
function query(given) {
  const filled = Object.entries(given).filter(([, value]) => value);
  return filled.length ? `?${new URLSearchParams(/** @type {[string, string][]} */ (filled))}` : "";
}

/**
 * @typedef {object} Standing where a case stands
 * @property {string} task
 * @property {string} state
 * @property {string|null} user who brought it there
 * @property {string} reason
 * @property {string|null} changed
 * @property {Record<string, {needs_reason: boolean}>} actions what may be asked for now
 * @property {{holder: string, expires: string}|null} lease
 */

/**
 * @param {string} image
 * @param {string|null} task
 * @returns {Promise<Standing>}
 */
export const standing = (image, task) => get(`/carina/cases/${encodeURIComponent(image)}/standing${query({ task })}`);

/**
 * @param {string} image
 * @param {string} action
 * @param {{task: string|null, user: string, reason: string}} said
 */
export const say = (image, action, { task, user, reason }) =>
  post(`/carina/cases/${encodeURIComponent(image)}/${action}`, { user, reason, ...(task ? { task } : {}) });

/** @param {string} image @param {string} user */
export const giveBack = (image, user) =>
  ask(`/carina/leases/${encodeURIComponent(image)}${query({ user })}`, { method: "DELETE" });

/**
 * @typedef {object} Queue
 * @property {number} total
 * @property {number} left
 * @property {number} with_others
 * @property {number} closed
 * @property {number} mine
 * @property {{image_id: string, study_instance_uid: string|null, expires: string}[]} leases
 * @property {Record<string, number>} states
 */

/** @param {string} user @param {string|null} task @returns {Promise<Queue>} */
export const queue = (user, task) => get(`/carina/queue${query({ user, task })}`);

/** @param {string} task @param {string} user */
export const train = (task, user) => post(`/train/${encodeURIComponent(task)}`, { user });

/** @returns {Promise<any[]>} trainings, oldest first */
export const trainings = () => get("/carina/jobs?kind=train");

/** @param {string} job @returns {string} its server-sent events */
export const jobStream = (job) => `/carina/jobs/${encodeURIComponent(job)}/stream`;

/** @param {string} job */
export const cancelJob = (job) => ask(`/carina/jobs/${encodeURIComponent(job)}`, { method: "DELETE" });

/** @param {string} job */
export const resumeJob = (job) => post(`/carina/jobs/${encodeURIComponent(job)}/resume`);

/** @param {string} task @param {{version: string, user: string, reason: string}} what */
export const promote = (task, what) => post(`/carina/models/${encodeURIComponent(task)}/promote`, what);

/** @param {string} task @param {{user: string, reason: string}} what */
export const rollback = (task, what) => post(`/carina/models/${encodeURIComponent(task)}/rollback`, what);

/**
 * The next series to label.
 * @param {{strategy: string, user: string, task: string|null}} what
 * @returns {Promise<{id?: string, StudyInstanceUID?: string, why?: string}>} empty when every series has its label
 */
export const nextCase = ({ strategy, user, task }) =>
  post(`/activelearning/${encodeURIComponent(strategy)}`, { client_id: user, ...(task ? { task } : {}) });
