// Preact with templates in place of JSX, so that the page needs no build.
import { Component, Fragment, createContext, h, render } from "./lib/preact.js";
import htm from "./lib/htm.js";

export * from "./lib/hooks.js";
export { Component, Fragment, createContext, h, render };
export const html = htm.bind(h);

/** memo returns a component that renders again only if one of its properties is another. */
export function memo(component) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const now = this.props;
      for (const k in next) if (next[k] !== now[k]) return true;
      for (const k in now) if (!(k in next)) return true;
      return false;
    }
    render(props) {
      return component(props);
    }
  };
}

/** classes joins the names of classes whose condition is true. */
export const classes = (...names) => names.filter(Boolean).join(" ");
