// The files of a torrent as a tree of folders, with sums. There may be 100,000 files: they come in pages, and a change of a file
// costs no more than the folders above it.

/**
 * Tree has the folders and files below root. A folder is {name, path, level, parent, children, open} with sums over its files:
 * count, chosen (selected files), size, have, and by: how many of the chosen have each priority. A file is {name, path, level,
 * parent, lower, file}, where file is that of the REST interface and lower is the path in lower case.
 */
export class Tree {
  #folders = new Map();
  #wasOpen;

  /** A tree begins without files. Folders that are open in before, if there is one, are open here too. */
  constructor(before) {
    this.leaves = []; // by number, from 1
    this.root = newFolder("", "", -1, null);
    this.root.open = true;
    this.#folders.set("", this.root);
    this.#wasOpen = before && new Set([...before.#folders.values()].filter((f) => f.open).map((f) => f.path));
  }

  /** add adds the next files. isLast says that no more follow. */
  add(files, isLast) {
    for (const f of files) {
      const cut = f.path.lastIndexOf("/");
      const parent = this.#folder(cut < 0 ? "" : f.path.slice(0, cut));
      const leaf = { name: f.path.slice(cut + 1), path: f.path, level: parent.level + 1, parent, lower: f.path.toLowerCase(), file: f };
      parent.children.push(leaf);
      this.leaves.push(leaf);
      count(leaf, 1);
    }
    if (!isLast || this.#wasOpen) return;
    const few = this.leaves.length <= 200;
    if (few || this.root.children.length === 1) for (const f of few ? this.#folders.values() : this.root.children) f.open = true;
  }

  #folder(path) {
    const missing = [];
    let at = path;
    for (; !this.#folders.has(at); at = at.includes("/") ? at.slice(0, at.lastIndexOf("/")) : "") missing.push(at);
    let parent = this.#folders.get(at);
    for (const p of missing.reverse()) {
      const f = newFolder(p.slice(p.lastIndexOf("/") + 1), p, parent.level + 1, parent);
      f.open = Boolean(this.#wasOpen?.has(p));
      parent.children.push(f);
      this.#folders.set(p, f);
      parent = f;
    }
    return parent;
  }

  /** update takes over the state of files that were added. It returns false if these are others, or have other names. */
  update(files) {
    for (const f of files) {
      const leaf = this.leaves[f.number - 1];
      if (leaf?.path !== f.path) return false;
      this.change(leaf, f);
    }
    return true;
  }

  /** change takes over the state of a file. */
  change(leaf, file) {
    const { have, selected, priority } = leaf.file;
    if (have === file.have && selected === file.selected && priority === file.priority) return;
    count(leaf, -1);
    leaf.file = file;
    count(leaf, 1);
  }

  /** rows returns the folders and files in view: those of open folders, or those that have all words of a search in their paths. */
  rows(search) {
    const words = wordsOf(search);
    const rows = [];
    const walk = (folder) => {
      for (const c of folder.children) {
        if (!words.length) {
          rows.push(c);
          if (c.children && c.open) walk(c);
        } else if (c.children) {
          const before = rows.push(c);
          walk(c);
          if (rows.length === before) rows.pop();
        } else if (matches(c, words)) rows.push(c);
      }
    };
    walk(this.root);
    return rows;
  }

  /** leavesOf returns the files of a row that a search shows. */
  leavesOf(row, search) {
    const words = wordsOf(search);
    const leaves = [];
    const walk = (r) => {
      if (r.children) r.children.forEach(walk);
      else if (matches(r, words)) leaves.push(r);
    };
    walk(row);
    return leaves;
  }
}

const newFolder = (name, path, level, parent) => ({ name, path, level, parent, children: [], open: false, count: 0, chosen: 0, size: 0, have: 0, by: {} });

/** count adds a file to the sums of the folders above it, or removes it: by is 1 or -1. */
function count(leaf, by) {
  const f = leaf.file;
  for (let p = leaf.parent; p; p = p.parent) {
    p.count += by;
    p.size += by * f.size;
    p.have += by * f.have;
    if (!f.selected) continue;
    p.chosen += by;
    p.by[f.priority] = (p.by[f.priority] || 0) + by;
  }
}

/** priorityOf returns the priority of the selected files of a folder, or "" if they differ. */
export const priorityOf = (folder) => Object.keys(folder.by).find((id) => folder.by[id] === folder.chosen) || "";

const wordsOf = (search) => search.toLowerCase().split(/\s+/).filter(Boolean);

const matches = (leaf, words) => words.every((w) => leaf.lower.includes(w));
