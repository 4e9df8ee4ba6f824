// The DHT: the nodes that this one knows, and lookups.
import { html } from "../html.js";
import { Items } from "../dht/items.js";
import { Lookup } from "../dht/lookup.js";
import { Nodes } from "../dht/nodes.js";
import { useResource } from "../resource.js";
import { href, navigate } from "../router.js";
import { ErrorText, Loading } from "../ui/message.js";
import { Tabs } from "../ui/tabs.js";

const tabs = [
  { id: "nodes", title: "Nodes", panel: Nodes },
  { id: "lookup", title: "Lookup", panel: Lookup },
  { id: "items", title: "Items", panel: Items },
];
const pollEvery = 5000;

export default function DHT({ args }) {
  const { data, error } = useResource("v1/dht", pollEvery);
  const tab = tabs.find((t) => t.id === args[0]) || tabs[0];
  return html`<div class="view dht">
    <h1>DHT</h1>
    ${error && html`<${ErrorText} error=${error} />`}
    ${!data && !error && html`<${Loading} what="the routing tables" />`}
    ${data && html`<${Tabs} tabs=${tabs} current=${tab.id} select=${(id) => navigate(href("dht", id), true)} label="Parts of the DHT"><${tab.panel} dht=${data} /></${Tabs}>`}
  </div>`;
}
