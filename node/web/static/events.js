// The event stream (server-sent events), read with fetch: EventSource can neither set headers nor tell why it failed.
import { request } from "./api.js";

/**
 * readEvents opens the stream after a cursor and calls handle(event, data) with each event, and alive() with everything that
 * arrives. It returns when the daemon ends the stream.
 */
export async function readEvents(cursor, { signal, handle, alive, opened }) {
  const response = await request("GET", "v1/events", undefined, { signal, headers: { "Last-Event-ID": cursor, Accept: "text/event-stream" } });
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = []; // of the line that is not complete; joined once, since a line may have megabytes
  let event = "message";
  let data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    let from = 0;
    for (let end = value.indexOf("\n"); end >= 0; end = value.indexOf("\n", from)) {
      parts.push(value.slice(from, end));
      const line = parts.join("");
      parts = [];
      from = end + 1;
      if (line === "") {
        if (data.length) handle(event, JSON.parse(data.join("\n")));
        event = "message";
        data = [];
      } else if (line.startsWith("data: ")) data.push(line.slice(6));
      else if (line.startsWith("event: ")) event = line.slice(7);
    }
    if (from < value.length) parts.push(value.slice(from));
  }
}
