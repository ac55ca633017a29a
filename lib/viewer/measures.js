// What is measured of each segment, slice by slice, so that an edit costs the slices it touched and no others.

/**
 * @typedef {object} Measure
 * @property {number} voxels
 * @property {number} size in the unit of the series
 * @property {number} slice index of the slice that holds most of it, -1 if it is empty
 * @property {number|null} hu mean of the image inside; null until every slice of it is decoded, and where it is empty
 * @property {number|null} dice against where the work began; null if that is not known, or it is empty in both
 */

/**
 * One slice: label index to its sums.
 * @typedef {Map<number, {voxels: number, before: number, both: number, sum: number}>} Tally
 */

/**
 * @param {ArrayLike<number>} labels label indices of a slice
 * @param {{before: ArrayLike<number>|null, image: ArrayLike<number>|null}} beside the slice where the work began, and
 *   the image's values; null where they are not known
 * @returns {Tally} `sum` is NaN without an image
 */
export function tally(labels, { before, image }) {
  /** @type {Tally} */
  const found = new Map();
  const row = (/** @type {number} */ index) => {
    let entry = found.get(index);
    if (!entry) found.set(index, (entry = { voxels: 0, before: 0, both: 0, sum: image ? 0 : NaN }));
    return entry;
  };
  let current = row(0);
  let index = 0;
  for (let place = 0; place < labels.length; place++) {
    const label = labels[place];
    const was = before ? before[place] : 0;
    if (!label && !was) continue;
    if (label !== index) [current, index] = [row(label), label];
    if (label) {
      current.voxels++;
      if (image) current.sum += image[place];
    }
    if (!was) continue;
    const old = was === label ? current : row(was);
    old.before++;
    if (was === label) old.both++;
  }
  found.delete(0);
  return found;
}

/**
 * @param {Uint8Array|Uint16Array} slice
 * @returns {number} another one, but for one chance in 2³², once several voxels have changed; always once one has
 */
export function fingerprint(slice) {
  const whole = slice.byteOffset % 4 === 0 && slice.byteLength % 4 === 0;
  const words = whole ? new Uint32Array(slice.buffer, slice.byteOffset, slice.byteLength / 4) : slice;
  let hash = 0x811c9dc5;
  for (let place = 0; place < words.length; place++) {
    hash = Math.imul(hash ^ words[place], 0x5bd1e995);
    hash ^= hash >>> 15; // or what the last voxel of a word holds would never reach the lower bits
  }
  return hash;
}

export class Measures {
  /** @type {Tally[]} */ #tallies;
  #perVoxel;
  #compares = false;

  /** @param {{slices: number, perVoxel: number}} grid with the size of a voxel */
  constructor({ slices, perVoxel }) {
    this.#tallies = Array.from({ length: slices }, () => new Map());
    this.#perVoxel = perVoxel;
  }

  /** @param {boolean} known whether it is known where the work began */
  set compares(known) {
    this.#compares = known;
  }

  /** @param {number} slice @param {Tally} found */
  set(slice, found) {
    this.#tallies[slice] = found;
  }

  /** @param {number} slice @returns {boolean} whether the slice holds a segment whose image values are not known */
  lacksImage(slice) {
    return [...this.#tallies[slice].values()].some(({ voxels, sum }) => voxels > 0 && Number.isNaN(sum));
  }

  /** @returns {Map<number, Measure>} by label index */
  get all() {
    /** @type {Map<number, {voxels: number, before: number, both: number, sum: number, most: number, slice: number}>} */
    const totals = new Map();
    this.#tallies.forEach((found, slice) => {
      for (const [index, { voxels, before, both, sum }] of found) {
        const total = totals.get(index) ?? { voxels: 0, before: 0, both: 0, sum: 0, most: 0, slice: -1 };
        total.voxels += voxels;
        total.before += before;
        total.both += both;
        if (voxels) total.sum += sum;
        if (voxels > total.most) [total.most, total.slice] = [voxels, slice];
        totals.set(index, total);
      }
    });
    return new Map([...totals].map(([index, total]) => [index, this.#measure(total)]));
  }

  /**
   * @param {{voxels: number, before: number, both: number, sum: number, slice: number}} total
   * @returns {Measure}
   */
  #measure({ voxels, before, both, sum, slice }) {
    const known = voxels > 0 && !Number.isNaN(sum);
    return {
      voxels,
      size: voxels * this.#perVoxel,
      slice,
      hu: known ? sum / voxels : null,
      dice: this.#compares && voxels + before ? (2 * both) / (voxels + before) : null,
    };
  }
}
