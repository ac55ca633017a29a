// Who works in the panel, what is going on, and what there is to say about it.

import { choices } from "./choices.js";
import * as client from "./client.js";
import * as delivery from "./delivery.js";
import { told } from "./view.js";

/**
 * @typedef {object} Message
 * @property {"info"|"good"|"bad"} kind
 * @property {string} text
 */

/** Dispatches `change`. */
export class Talk extends EventTarget {
  /** @type {string|null} what is going on that cannot be cancelled */ busy = null;
  /** @type {Message|null} */ message = null;

  get user() {
    return choices.user;
  }

  set user(name) {
    choices.user = name;
    this.redraw();
  }

  /**
   * Whether the user has a name; if not, ask for it.
   * @param {string} why
   */
  named(why) {
    if (this.user) return true;
    this.tell("bad", `${why} Enter your name above, then try again.`);
    return false;
  }

  /** @param {Message["kind"]} kind @param {string} text */
  tell(kind, text) {
    this.message = { kind, text };
    this.redraw();
  }

  /**
   * Run something; if it fails, say why.
   * @param {string|null} doing shown meanwhile
   * @param {() => Promise<unknown>} action
   */
  async attempt(doing, action) {
    this.busy = doing;
    this.message = null;
    this.redraw();
    try {
      await action();
    } catch (error) {
      const cancelled = error instanceof client.ServerError && error.kind === "CancelledError";
      this.message = { kind: cancelled ? "info" : "bad", text: told(error) };
      if (!(error instanceof client.ServerError)) console.error(error);
    }
    this.busy = null;
    this.redraw();
  }

  /**
   * Say how a stored version fares on its way to the PACS.
   * @param {string} label
   * @param {string} stored begins the sentence
   */
  async followDelivery(label, stored) {
    let said = this.message;
    await delivery.follow(label, ({ kind, text }) => {
      if (this.message !== said) return; // what was said since is newer
      this.tell(kind, stored + text);
      said = this.message;
    });
  }

  /** Have everything drawn again, also for what OHIF itself keeps, such as which segments are shown. */
  redraw() {
    this.dispatchEvent(new Event("change"));
  }
}
