// A question that must be answered before something happens: what it does, and a reason where one is wanted.

import { h } from "./view.js";

/**
 * @param {ShadowRoot} root where it appears
 * @param {{title: string, text: string, yes: string, reason?: "none"|"optional"|"needed"}} what
 * @returns {Promise<string|null>} the reason, empty for none; null if the answer was no
 */
export function question(root, { title, text, yes, reason = "none" }) {
  const input = h("input", {
    id: "reason",
    maxlength: 500,
    autocomplete: "off",
    required: reason === "needed",
    placeholder: reason === "needed" ? "why" : "why (optional)",
  });
  const dialog = /** @type {HTMLDialogElement} */ (
    h(
      "dialog",
      { "aria-labelledby": "question" },
      h(
        "form",
        { method: "dialog" },
        h("h3", { id: "question" }, title),
        h("p", {}, text),
        reason !== "none" && h("label", { for: "reason" }, "Reason"),
        reason !== "none" && input,
        h(
          "div",
          { class: "row" },
          h("button", { id: "no", value: "no", formnovalidate: true }, "Cancel"),
          h("button", { id: "yes", value: "yes", class: "primary" }, yes),
        ),
      ),
    )
  );
  root.append(dialog);
  dialog.showModal();
  (reason === "none" ? dialog.querySelector("button") : input)?.focus();
  dialog.querySelector("form")?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target !== input) return;
    event.preventDefault(); // the form's first button says no
    /** @type {HTMLElement|null} */ (dialog.querySelector("#yes"))?.click();
  });
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? /** @type {HTMLInputElement} */ (input).value.trim() : null);
    });
  });
}
