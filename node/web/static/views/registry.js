// The views of the page: each is a module whose default export is a component with the properties args and query of the route.
// A view is loaded when it is first opened.

export const views = [
  { name: "torrents", title: "Torrents", scope: "read", load: () => import("./torrents.js") },
  { name: "publications", title: "Publications", scope: "read", load: () => import("./publications.js") },
  { name: "follows", title: "Follows", scope: "read", load: () => import("./follows.js") },
  { name: "pins", title: "Pins", scope: "read", load: () => import("./pins.js") },
  { name: "dht", title: "DHT", scope: "read", load: () => import("./dht.js") },
  { name: "doctor", title: "Doctor", scope: "add", load: () => import("./doctor.js") },
  { name: "settings", title: "Settings", scope: "admin", load: () => import("./settings.js") },
  { name: "tokens", title: "Tokens", scope: "admin", load: () => import("./tokens.js") },
];
