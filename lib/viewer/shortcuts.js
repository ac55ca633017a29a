// Keys of the panel. None is one of OHIF's own; what changes a case takes the Shift key.

import { activeSegment, segmentShown, showSegment } from "./ohif.js";
import { prompts } from "./prompts.js";
import { sayOn } from "./review_section.js";
import { goToSegment, listedSegments } from "./segments.js";
import { showAll } from "./segments_section.js";
import { session } from "./session.js";
import { h } from "./view.js";

/**
 * @typedef {object} Shortcut
 * @property {string} key as `KeyboardEvent.key` has it
 * @property {string} does
 * @property {(root: ShadowRoot) => unknown} run
 */

/** @type {Shortcut[]} */
export const SHORTCUTS = [
  { key: "d", does: "Auto-segment", run: () => session.draft() },
  { key: "o", does: "Open the newest stored version", run: () => session.openLatest() },
  { key: "j", does: "Next segment, at its largest slice", run: () => step(1) },
  { key: "k", does: "Previous segment, at its largest slice", run: () => step(-1) },
  { key: "g", does: "Largest slice of the segment", run: () => step(0) },
  { key: "x", does: "Show or hide the segment", run: () => toggle() },
  { key: "X", does: "Show or hide all segments", run: () => toggleAll() },
  { key: "p", does: "Place points in the segment (interactive tasks)", run: () => prompts.place({ outside: false }) },
  { key: "q", does: "Place points in the background", run: () => prompts.place({ outside: true }) },
  { key: "u", does: "Correct the draft by the points", run: () => prompts.correct() },
  { key: "S", does: "Submit", run: () => session.submit() },
  { key: "A", does: "Accept", run: (root) => sayOn(root, "accept") },
  { key: "R", does: "Reject", run: (root) => sayOn(root, "reject") },
  { key: "K", does: "Skip", run: (root) => sayOn(root, "skip") },
  { key: "N", does: "Next case", run: () => session.next() },
  { key: "?", does: "Show these keys", run: (root) => help(root) },
];

/**
 * Listen to the whole page, except while somebody types or a question is open.
 * @param {ShadowRoot} root of the panel
 * @returns {() => void} ends it
 */
export function listen(root) {
  const pressed = (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || root.querySelector("dialog[open]")) return;
    if (typing(event.composedPath()[0])) return;
    const found = SHORTCUTS.find(({ key }) => key === event.key);
    if (!found || session.busy) return;
    event.preventDefault();
    found.run(root);
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

/**
 * Keep what is typed in the panel from OHIF, whose keys are bare letters, and presses of a button from its Enter.
 * @param {ShadowRoot} root of the panel
 */
export function shield(root) {
  for (const name of ["keydown", "keypress", "keyup"]) {
    root.addEventListener(name, (event) => {
      const { key } = /** @type {KeyboardEvent} */ (event);
      const pressing = (key === "Enter" || key === " ") && event.target instanceof HTMLElement;
      if (pressing || typing(event.target) || root.querySelector("dialog[open]")) event.stopPropagation();
    });
  }
}

/** @param {ShadowRoot} root */
export function help(root) {
  const rows = SHORTCUTS.map(({ key, does }) =>
    h("div", {}, h("dt", {}, h("kbd", {}, key === key.toLowerCase() ? key : `Shift ${key}`)), h("dd", {}, does)),
  );
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      "dialog",
      { id: "shortcuts", "aria-labelledby": "shortcuts-title" },
      h("h3", { id: "shortcuts-title" }, "Keys"),
      h("dl", {}, ...rows),
      h("p", { class: "quiet" }, "OHIF's own keys are in its settings, under Preferences."),
      h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")),
    )
  );
  dialog.addEventListener("close", () => dialog.remove());
  root.append(dialog);
  dialog.showModal();
}

/** @param {EventTarget|null} target */
function typing(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input, textarea, select"));
}

/** @param {number} by */
function step(by) {
  const indices = listedSegments().map(({ label }) => label.index);
  if (!indices.length) return;
  const id = session.work?.segmentationId;
  const place = indices.indexOf((id ? activeSegment(id) : undefined) ?? -1);
  goToSegment(indices[(Math.max(place, by > 0 ? -1 : 0) + by + indices.length) % indices.length]);
}

function toggle() {
  const id = session.work?.segmentationId;
  const index = id ? activeSegment(id) : undefined;
  if (!id || index === undefined) return;
  showSegment(id, index, !segmentShown(id, index));
  session.redraw();
}

function toggleAll() {
  const id = session.work?.segmentationId;
  if (id) showAll(!listedSegments().some(({ label }) => segmentShown(id, label.index)));
}
