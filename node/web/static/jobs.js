// The jobs of the daemon: work that goes on after the request that started it.
import { remove } from "./api.js";
import * as format from "./format.js";
import { html, useEffect } from "./html.js";
import { useObservable } from "./observable.js";
import { may } from "./session.js";
import { jobs } from "./store.js";
import { ErrorText } from "./ui/message.js";
import { toastError } from "./ui/toast.js";

/** noteJob adds the job in the answer of a request, unless the event stream was faster. */
export function noteJob(job) {
  if (jobs.value.has(job.number)) return job;
  jobs.value.set(job.number, job);
  jobs.notify();
  return job;
}

/** useJobs returns the jobs of a kind, the newest first. */
export function useJobs(...kinds) {
  return [...useObservable(jobs).values()].filter((j) => kinds.includes(j.kind)).sort((a, b) => b.number - a.number);
}

/** useJob returns the job with that number, or undefined, and calls ended with it once when it ends while the component is shown. */
export function useJob(number, ended) {
  const job = useObservable(jobs).get(number);
  const isRunning = job?.status === "running";
  useEffect(() => {
    if (job && !isRunning) ended?.(job);
  }, [number, isRunning]);
  return job;
}

const doing = { publish: "Hashing the files", rollback: "Publishing the earlier version again", doctor: "Checking" };

/** JobProgress says in words how far a job is, and why it failed. */
export function JobProgress({ job }) {
  if (job.status === "done") return null;
  if (job.status === "cancelled") return html`<p role="status">Cancelled before it was done.</p>`;
  if (job.status === "failed") return html`<${ErrorText} error=${{ message: job.fault.error, hint: job.fault.hint }} />`;
  const share = job.total > 0 ? job.done / job.total : 0;
  let text = doing[job.kind] || job.kind;
  if (job.total > 0) text += job.done < job.total ? `: ${format.size(job.done)} of ${format.size(job.total)} (${format.percent(share)})` : ": done. Signing the version and storing it in the DHT";
  return html`<div class="job">
    <p role="status">${text}…</p>
    ${job.total > 0 && html`<progress max="1" value=${share} aria-label=${text}></progress>`}
    ${may("admin") && html`<button type="button" onClick=${() => remove(`v1/jobs/${job.number}`).catch(toastError)}>Cancel</button>`}
  </div>`;
}
