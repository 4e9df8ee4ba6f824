// The doctor: why connections do not work, and what to do.
import { post, remove } from "../api.js";
import { isPublication } from "../add/links.js";
import * as format from "../format.js";
import { html, useState } from "../html.js";
import { noteJob, useJobs } from "../jobs.js";
import { may } from "../session.js";
import { Guarded } from "../ui/guarded.js";
import { ErrorText } from "../ui/message.js";
import { toastError } from "../ui/toast.js";

// What is checked in each step, in the order of the checks. Some steps are only for nodes that
// are set up so, and some only for a torrent.
const steps = [
  { id: "object store", title: "Object store", ifAny: true },
  { id: "interface", title: "Network interface", ifAny: true },
  { id: "proxy", title: "Proxy", ifAny: true },
  { id: "sockets", title: "Sockets and routes" },
  { id: "local network", title: "Peers in the local network" },
  { id: "state", title: "Saved nodes" },
  { id: "bootstrap", title: "Bootstrap hosts" },
  { id: "external address", title: "Address as others see it" },
  { id: "nat", title: "NAT and firewall" },
  { id: "port mapping", title: "Ports that routers forward", ifAny: true },
  { id: "reachability", title: "Connections from outside", ifAny: true },
  { id: "utp", title: "uTP" },
  { id: "hole punching", title: "Connections between NATs", ifAny: true },
  { id: "node id", title: "Node id" },
  { id: "table", title: "Routing table" },
  { id: "lookup", title: "Peers of the torrent", ofTorrent: true },
  { id: "dial", title: "Connections to its peers", ofTorrent: true },
  { id: "handshake", title: "Handshakes with its peers", ofTorrent: true },
  { id: "metadata", title: "Metadata of the torrent", ofTorrent: true },
];

const verdicts = { fine: { title: "fine", mark: "✓" }, notice: { title: "notice", mark: "!" }, bad: { title: "bad", mark: "✕" } };

export default function Doctor() {
  const [link, setLink] = useState("");
  const [linked, setLinked] = useState(new Set()); // the jobs that this page has started with a link
  const [error, setError] = useState(null);
  const [job] = useJobs("doctor");
  const isRunning = job?.status === "running";
  const run = async (e) => {
    e.preventDefault();
    setError(null);
    if (link.trim() && isPublication(link) && !/[?&]xt=/i.test(link)) {
      setError({ message: "This link names a publication, not a torrent.", hint: "Give the link or infohash of one of its versions." });
      return;
    }
    try {
      const started = noteJob(await post("v1/doctor", link.trim() ? { link: link.trim() } : {}));
      if (link.trim()) setLinked(new Set([...linked, started.number]));
    } catch (err) {
      setError(err);
    }
  };
  return html`<div class="view doctor">
    <h1>Doctor</h1>
    <p class="lead">Checks step by step what this node needs to reach others: sockets, bootstrap hosts, the address that others see, whether others can connect to it, NAT, and the DHT. It changes nothing.</p>
    <form class="card form-line" onSubmit=${run}>
      <label class="field">A torrent that does not load (optional)
        <input value=${link} onInput=${(e) => setLink(e.target.value)} placeholder="Magnet link or infohash" spellcheck="false" autocomplete="off" />
      </label>
      ${isRunning && may("add")
        ? html`<button type="button" onClick=${() => remove(`v1/jobs/${job.number}`).catch(toastError)}>Stop</button>`
        : html`<${Guarded} scope="add" class="primary" onClick=${run}>${job ? "Run again" : "Run the checks"}</${Guarded}>`}
      <small>The checks then go on with its peers, until its metadata is there.</small>
    </form>
    ${error && html`<${ErrorText} error=${error} />`}
    ${job ? html`<${Report} job=${job} withLink=${linked.has(job.number)} />` : html`<p class="muted">Nothing has been checked since the daemon started. It takes some seconds, and up to a minute where nothing answers.</p>`}
  </div>`;
}

function Report({ job, withLink }) {
  const findings = job.findings || [];
  const isRunning = job.status === "running";
  const known = new Set(steps.map((s) => s.id));
  const others = findings.filter((f) => !known.has(f.step));
  const has = (s) => findings.some((f) => f.step === s.id);
  const withTorrent = withLink || steps.some((s) => s.ofTorrent && has(s));
  const shown = steps.filter((s) => (withTorrent || !s.ofTorrent) && (!s.ifAny || has(s)));
  const reached = Math.max(-1, ...findings.map((f) => shown.findIndex((s) => s.id === f.step)));
  return html`<section aria-label="Findings" class="findings">
    <p role="status" class="verdict-line">${summary(job, findings, shown, reached)}</p>
    ${isRunning && html`<progress max=${shown.length} value=${reached + 1} aria-label="Progress of the checks"></progress>`}
    ${job.status === "failed" && html`<${ErrorText} error=${{ message: job.fault.error, hint: job.fault.hint }} />`}
    <ol class="checks">
      ${shown.map((s, i) => html`<${Step} key=${s.id} title=${s.title} findings=${findings.filter((f) => f.step === s.id)} rest=${isRunning ? (i === reached + 1 ? "Checking…" : i > reached && "Waits for its turn.") : job.status !== "done" && i > reached && "Not checked."} />`)}
      ${others.length > 0 && html`<${Step} title="Others" findings=${others} />`}
    </ol>
  </section>`;
}

/** summary says how far a run is, or what came out. */
function summary(job, findings, shown, reached) {
  if (job.status === "running") {
    const next = shown[Math.min(reached + 1, shown.length - 1)];
    return `Checking step ${Math.min(reached + 2, shown.length)} of ${shown.length}: ${next.title.toLowerCase()}…`;
  }
  const count = (v) => findings.filter((f) => f.verdict === v).length;
  const [bad, notice] = [count("bad"), count("notice")];
  const when = `Checked ${format.date(job.started)}. `;
  if (job.status !== "done") return when + (job.status === "cancelled" ? "Stopped before the end." : "The checks did not finish.");
  if (bad + notice === 0) return when + "Everything is fine.";
  return when + [bad && `${format.plural(bad, "thing")} ${bad === 1 ? "does" : "do"} not work`, notice && format.plural(notice, "notice")].filter(Boolean).join(", ") + ".";
}

function Step({ title, findings, rest }) {
  if (findings.length === 0) return html`<li class="check-step check-waits"><h2>${title}</h2><p class="muted">${rest || "Nothing to report."}</p></li>`;
  return html`<li class="check-step">
    <h2>${title}</h2>
    <ul>
      ${findings.map((f) => {
        const v = verdicts[f.verdict] || verdicts.notice;
        return html`<li class=${"finding finding-" + v.title}>
          <span class="verdict"><span aria-hidden="true">${v.mark}</span> ${v.title}</span>
          <div>
            <p>${f.what && html`<b>${format.name(f.what)}: </b>`}${format.name(f.text)}${f.took_ms ? html` <small>${Math.round(f.took_ms)} ms</small>` : ""}</p>
            ${f.advice && html`<p class="advice">${f.advice}</p>`}
          </div>
        </li>`;
      })}
    </ul>
  </li>`;
}
