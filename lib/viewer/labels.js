// Which label an index of a stored label map stands for: a version keeps the numbers it was drawn with.

/** @typedef {import("./client.js").Label} Label */
/** @typedef {import("./client.js").Task} Task */

const LARGEST_INDEX = 255; // Cornerstone's label maps hold bytes

/** @type {Omit<Label, "name"|"index">} for structures that no task here describes */
const UNKNOWN = { colour: [128, 174, 128], type: { value: "", scheme: "", meaning: "" }, modifier: null };

/**
 * The labels to go on with from a stored version: its own, with its numbers, and those of its task that it lacks.
 * @param {Record<string, number>} stored name to voxel value
 * @param {Task|null} task the version was drawn for
 * @param {Task[]} tasks all there are; they know colours and codes
 * @returns {Label[]}
 */
export function labelsToContinue(stored, task, tasks) {
  const known = new Map(tasks.flatMap((one) => one.labels).map((label) => [label.name, label]));
  task?.labels.forEach((label) => known.set(label.name, label));
  const taken = new Set(Object.values(stored));
  let free = 1;
  const drawn = Object.entries(stored).map(([name, index]) => ({ ...(known.get(name) ?? UNKNOWN), name, index }));
  const others = (task?.labels ?? [])
    .filter(({ name }) => !(name in stored))
    .map((label) => {
      while (taken.has(free)) free++;
      taken.add(free);
      return { ...label, index: free };
    });
  const labels = [...drawn, ...others].sort((a, b) => a.index - b.index);
  if (labels.some(({ index }) => index > LARGEST_INDEX)) {
    throw new Error(
      `A label index must not exceed ${LARGEST_INDEX} here, and this version has larger ones. Use 3D Slicer for it.`,
    );
  }
  return labels;
}
