// What the browser remembers of a reader: the name, how the next case is chosen, and the task chosen last.

const USER = "carina.user";
const STRATEGY = "carina.strategy";
const TASK = "carina.task";
const FINDINGS = "carina.findings";

export const choices = {
  get user() {
    return localStorage.getItem(USER) ?? "";
  },
  set user(name) {
    localStorage.setItem(USER, name.trim());
  },
  get strategy() {
    return localStorage.getItem(STRATEGY) ?? "";
  },
  set strategy(name) {
    localStorage.setItem(STRATEGY, name);
  },
  get task() {
    return localStorage.getItem(TASK) ?? "";
  },
  set task(name) {
    localStorage.setItem(TASK, name);
  },
  get findings() {
    return localStorage.getItem(FINDINGS) ?? "";
  },
  set findings(name) {
    localStorage.setItem(FINDINGS, name);
  },
};
