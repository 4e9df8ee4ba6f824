// The list of torrents, with the details of one below it.
import * as format from "../format.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";
import { useObservable } from "../observable.js";
import { href, navigate } from "../router.js";
import { may } from "../session.js";
import { loaded, onTorrents, torrents as all } from "../store.js";
import { actions, canRun, menu, run } from "../torrents/actions.js";
import { layout } from "../torrents/columns.js";
import { count, filter, none, passes } from "../torrents/filters.js";
import { Filters } from "../torrents/filterbar.js";
import { List, rowId } from "../torrents/list.js";
import { Order } from "../torrents/order.js";
import * as selection from "../torrents/selection.js";
import { Toolbar } from "../torrents/toolbar.js";
import { keepFocus } from "../ui/focus.js";
import { openMenu, openMenuBelow } from "../ui/menu.js";
import { Empty, Loading } from "../ui/message.js";
import { openAdd } from "../add/open.js";
import Torrent from "./torrent.js";

/** useTorrents renders a component again when torrents have changed, and returns a number that is then another. */
function useTorrents() {
  const [version, setVersion] = useState(0);
  useLayoutEffect(() => onTorrents(() => setVersion((v) => v + 1)), []);
  return version;
}

export default function Torrents({ args }) {
  const version = useTorrents();
  const isLoaded = useObservable(loaded);
  const shown = useObservable(layout);
  const passing = useObservable(filter);
  const [selected, setSelected] = useState(selection.empty);
  const order = useRef(null);
  order.current ??= new Order();

  const list = useMemo(() => order.current.update(shown, passes(passing)), [version, shown, passing]);
  const counts = useMemo(() => count(all.values()), [version]);
  const before = useRef(list); // with the torrents that were removed since
  useEffect(() => {
    const was = before.current;
    before.current = list;
    setSelected((s) => selection.present(s, all, was));
  }, [list]);
  useEffect(keepFocus);
  useLayoutEffect(() => {
    if (isLoaded) requestAnimationFrame(() => setTimeout(() => performance.mark("torrents-painted"))); // after the frame
  }, [isLoaded]);

  const chosen = () => list.filter((t) => selected.selected.has(t.infohash));
  const open = (t) => t && navigate(href("torrents", t.infohash));
  const close = () => navigate(href("torrents"));
  const now = { list, selected, chosen, open };
  const latest = useRef(now);
  latest.current = now; // the keys and the rows see the state of the last rendering

  const onRow = useStable((e, t) => {
    const { list } = latest.current;
    setSelected((s) => (e.shiftKey ? selection.extend(s, list, t.infohash) : e.ctrlKey || e.metaKey ? selection.toggle(s, t.infohash) : selection.only(t.infohash)));
    if (list.length && matchMedia("(max-width: 700px)").matches && !(e.shiftKey || e.ctrlKey || e.metaKey)) open(t);
  });
  const onOpen = useStable(open);
  const onMenu = useStable((e, t) => {
    e.preventDefault();
    const { selected, chosen } = latest.current;
    const isChosen = selected.selected.has(t.infohash);
    if (!isChosen) setSelected(selection.only(t.infohash));
    openMenu(e.clientX, e.clientY, menu(isChosen ? chosen() : [t]), "Actions");
  });
  const onDrag = useStable((from, to) => setSelected(selection.extend(selection.only(from), latest.current.list, to)));

  useKeys("List of torrents", keys(latest, setSelected, close));
  const detail = args[0] && all.get(args[0]);
  if (!isLoaded && all.size === 0) return html`<${Loading} what="the torrents" />`;
  return html`<div class=${"torrents" + (args[0] ? " with-details" : "")}>
    <h1 class="hidden">Torrents</h1>
    <${Filters} counts=${counts} filter=${passing} />
    <section class="torrents-main" aria-label="Torrents">
      <${Toolbar} torrents=${chosen()} shown=${list.length} selectAll=${() => setSelected((s) => selection.all(s, latest.current.list))} />
      ${list.length === 0
        ? html`<${Nothing} total=${all.size} reset=${() => filter.set(none)} />`
        : html`<${List} torrents=${list} layout=${shown} selection=${selected} onRow=${onRow} onOpen=${onOpen} onDrag=${onDrag} onMenu=${onMenu} label="Torrents" />`}
    </section>
    ${args[0] &&
    html`<section class="details" aria-label="Details" tabindex="-1">
      ${detail
        ? html`<${Torrent} key=${args[0]} torrent=${detail} tab=${args[1]} close=${close} />`
        : html`<${Empty} title="This torrent is not in the session"><p>It was removed.</p><button onClick=${close}>Back to the list</button></${Empty}>`}
    </section>`}
  </div>`;
}

/** useStable returns a function that is always the same, and calls the last f. */
function useStable(f) {
  const last = useRef(f);
  last.current = f;
  return useRef((...args) => last.current(...args)).current;
}

/** Nothing says why the list is empty. */
function Nothing({ total, reset }) {
  if (total > 0) {
    return html`<${Empty} title="No torrent matches the filter"><p>The session has ${format.plural(total, "torrent")}.</p><button onClick=${reset}>Show all</button></${Empty}>`;
  }
  return html`<${Empty} title="There is no torrent yet">
    ${may("add")
      ? html`<p>Paste a magnet link, or drop a .torrent file anywhere on this page.</p><button class="primary" onClick=${() => openAdd()}>Add a torrent</button>`
      : html`<p>This session may only read. Log in with a token of the scope add or admin to add torrents.</p>`}
  </${Empty}>`;
}

/** keys returns the keys of the list. state.current is the state of the last rendering. */
function keys(state, setSelected, close) {
  const go = (by, options) => () => setSelected((s) => selection.move(s, state.current.list, by, options));
  const page = () => Math.max(1, Math.floor(document.querySelector(".list")?.clientHeight / document.querySelector(".rows .row")?.offsetHeight || 10) - 2);
  const pageKey = (sign, options) => () => setSelected((s) => selection.move(s, state.current.list, sign * page(), options));
  const end = 1e9;
  const openActions = () => {
    const { selected, chosen } = state.current;
    const row = document.getElementById(rowId(selected.current)) || document.querySelector(".list");
    if (chosen().length) openMenuBelow(row, menu(chosen()), "Actions");
  };
  return [
    { keys: ["/", "Ctrl+F"], title: "Search", run: () => document.getElementById("search")?.focus() },
    { keys: ["ArrowDown", "j"], title: "Next torrent", run: go(1) },
    { keys: ["ArrowUp", "k"], title: "Previous torrent", run: go(-1) },
    { keys: ["Shift+ArrowDown"], title: "Select down to the next one", run: go(1, { extending: true }) },
    { keys: ["Shift+ArrowUp"], title: "Select up to the previous one", run: go(-1, { extending: true }) },
    { keys: ["Ctrl+ArrowDown"], title: "Go down, keep the selection", run: go(1, { keeping: true }) },
    { keys: ["Ctrl+ArrowUp"], title: "Go up, keep the selection", run: go(-1, { keeping: true }) },
    { keys: ["PageDown"], title: "A page down", run: pageKey(1) },
    { keys: ["PageUp"], title: "A page up", run: pageKey(-1) },
    { keys: ["Home"], title: "First torrent", run: go(-end) },
    { keys: ["End"], title: "Last torrent", run: go(end) },
    { keys: ["Shift+Home"], title: "Select up to the first one", run: go(-end, { extending: true }) },
    { keys: ["Shift+End"], title: "Select down to the last one", run: go(end, { extending: true }) },
    { keys: ["Space", "Ctrl+Space"], title: "Select or deselect this one", run: () => setSelected((s) => (s.current ? selection.toggle(s, s.current) : selection.move(s, state.current.list, 1))) },
    { keys: ["Ctrl+A"], title: "Select all", run: () => setSelected((s) => selection.all(s, state.current.list)) },
    { keys: ["Enter"], title: "Details", run: () => state.current.open(state.current.list.find((t) => t.infohash === state.current.selected.current)) },
    { keys: ["Shift+F10", "ContextMenu"], title: "Menu of actions", run: openActions },
    { keys: ["Escape"], title: "Select nothing, close the details", run: () => (close(), setSelected(selection.empty)) },
    ...actions.filter(Boolean).map((a) => ({
      keys: a.keys,
      title: a.title,
      run: () => {
        const torrents = state.current.chosen();
        if (canRun(a, torrents.length)) run(a, torrents);
      },
    })),
  ];
}
