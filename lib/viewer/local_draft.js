// Work that was not submitted, kept by the browser itself (IndexedDB), so that a reload or a crash loses none of it.

const DATABASE = "carina";
const STORE = "drafts";
const CASE = "case";

/**
 * @typedef {object} LocalDraft
 * @property {string} key one for each page, image, task and user
 * @property {string} image
 * @property {string} user
 * @property {string|null} task
 * @property {string} saved ISO 8601
 * @property {string|null} base id of the stored version it goes on from
 * @property {string} title what it began from
 * @property {import("./client.js").Label[]} labels
 * @property {ArrayBuffer} file .nii.gz
 */

/** @param {LocalDraft} draft */
export async function keep(draft) {
  await within("readwrite", (store) => store.put(draft));
}

/**
 * @param {string} image
 * @param {string} user
 * @returns {Promise<LocalDraft[]>} newest first
 */
export async function find(image, user) {
  const found = await within("readonly", (store) => store.index(CASE).getAll([image, user]));
  return found.sort((/** @type {LocalDraft} */ a, /** @type {LocalDraft} */ b) => b.saved.localeCompare(a.saved));
}

/** @param {string} key */
export async function forget(key) {
  await within("readwrite", (store) => store.delete(key));
}

/**
 * Run one request in a transaction of its own.
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} request
 * @returns {Promise<any>} its result, once it is on disk
 */
async function within(mode, request) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      const asked = request(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? asked.error);
    });
  } finally {
    database.close();
  }
}

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(DATABASE, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore(STORE, { keyPath: "key" }).createIndex(CASE, ["image", "user"]);
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => reject(new Error("another tab holds an older form of carina's database; close it"));
  });
}
