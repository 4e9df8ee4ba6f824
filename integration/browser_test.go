//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// webPage is a page in a browser.
type webPage struct {
	t   testing.TB
	ctx context.Context

	mu      sync.Mutex
	errors  []string // exceptions of scripts, and what the console shows as errors
	ignored []string // errors with these texts are not collected
}

// browsers limits the tests with a browser that run at the same time: each could use all processors.
var browsers = make(chan struct{}, 2)

// takeBrowser waits until a test may use a browser. It must come before the time limit of the test.
func takeBrowser(t testing.TB) {
	t.Helper()
	needCommands(t, "chromium")
	browsers <- struct{}{}
	t.Cleanup(func() { <-browsers })
}

// axeSource returns the source of axe-core, which checks what a page shows.
func axeSource(t testing.TB) string {
	t.Helper()
	skipIfMissing(t, []string{missingNPM("axe", "axe-core")})
	b, err := os.ReadFile(filepath.Join(npmPath("axe"), "node_modules", "axe-core", "axe.min.js"))
	must(t, err)
	return string(b)
}

// browse opens a page in Chromium without a window.
func browse(t testing.TB, ctx context.Context, url string) *webPage {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.WindowSize(1200, 900))
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, closePage := chromedp.NewContext(ctx)
	t.Cleanup(closePage)
	w := &webPage{t: t, ctx: ctx}
	w.do() // starts the browser
	collect(w, runtime.ExceptionThrown, func(e runtime.EventExceptionThrown) string {
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		return text
	})
	collect(w, log.EntryAdded, func(e log.EventEntryAdded) string {
		// Without a URL it is about a script of the test: axe-core tries to set styles. The first request
		// of Transmission's page is refused, as its protocol wants.
		if e.Entry.Level != log.EntryLevelError || e.Entry.URL == "" || strings.Contains(e.Entry.URL, "/transmission/web/") {
			return ""
		}
		return e.Entry.Text + " " + e.Entry.URL
	})
	collect(w, runtime.ConsoleAPICalled, func(e runtime.EventConsoleAPICalled) string {
		if e.Type != runtime.ConsoleAPICalledTypeError {
			return ""
		}
		return fmt.Sprint("console.error ", e.Args)
	})
	w.do(chromedp.Navigate(url))
	return w
}

// collect notes the texts of events that are errors.
func collect[E any](w *webPage, event cdp.Event[E], text func(E) string) {
	events := chromedp.Events(w.ctx, event)
	go func() {
		for e, err := range events {
			if err != nil {
				return
			}
			if s := text(e); s != "" {
				w.mu.Lock()
				if !w.isIgnored(s) {
					w.errors = append(w.errors, s)
				}
				w.mu.Unlock()
			}
		}
	}()
}

// ignore drops the errors with a text, also those to come: the browser reports failed requests by itself, and late.
func (w *webPage) ignore(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ignored = append(w.ignored, text)
	w.errors = slices.DeleteFunc(w.errors, w.isIgnored)
}

// isIgnored reports whether an error has one of the texts to ignore. w.mu is held.
func (w *webPage) isIgnored(s string) bool {
	return slices.ContainsFunc(w.ignored, func(text string) bool { return strings.Contains(s, text) })
}

func (w *webPage) do(steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.ctx, steps...); err != nil {
		w.t.Fatal(err)
	}
}

// until waits until the value of an expression contains a text. If it never does, the test says what the value was.
func (w *webPage) until(what, expression, text string) {
	w.t.Helper()
	last := "never evaluated"
	defer func() {
		if !strings.Contains(last, text) {
			w.t.Logf("%s is %.2000q, without %q", expression, last, text)
		}
	}()
	poll(w.ctx, w.t, what, func() bool {
		v, err := chromedp.Run(w.ctx, chromedp.Evaluate[string]("(() => { try { return String("+expression+") } catch (e) { return '' } })()"))
		if err == nil {
			last = v
		}
		return err == nil && strings.Contains(v, text)
	})
}

// evaluate returns the value of an expression, which may be a promise.
func evaluate[T any](w *webPage, expression string) T {
	w.t.Helper()
	v, err := chromedp.Run(w.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// byXPath is the expression of the first element that an XPath names.
func byXPath(path string) string {
	return fmt.Sprintf("document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue", path)
}

// byCSS is the expression of the first element that a selector names.
func byCSS(selector string) string { return fmt.Sprintf("document.querySelector(%q)", selector) }

// click clicks the element that is the value of an expression with the mouse, as a person does: when it is there, enabled, not covered
// and at rest. What is above it may still grow; a click where the element was goes elsewhere, and is repeated.
func (w *webPage) click(element string) {
	w.t.Helper()
	for isHit := false; !isHit; {
		var at []float64
		poll(w.ctx, w.t, "to reach "+element, func() bool {
			v, err := chromedp.Run(w.ctx, chromedp.Evaluate[[]float64](fmt.Sprintf(reachable, element), chromedp.EvalAwaitPromise))
			at = v
			return err == nil && len(v) == 2
		})
		w.do(chromedp.MouseClickXY(at[0], at[1]))
		isHit = evaluate[bool](w, "window.testHit !== false") // undefined if the click has loaded another page
	}
}

// reachable is a script whose value is the middle of an element, or [] as long as it cannot be clicked. From then on,
// testHit says whether it was.
const reachable = `(async () => {
	const find = () => %s;
	const frame = () => new Promise((f) => { requestAnimationFrame(f); setTimeout(f, 200); });
	const e = find();
	if (!e || e.disabled || !e.checkVisibility()) return [];
	e.scrollIntoView({ block: "nearest", inline: "nearest" });
	const place = () => { const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; };
	const before = place();
	await frame();
	await frame();
	const now = place();
	if (find() !== e || String(now) !== String(before)) return [];
	const above = document.elementFromPoint(...now);
	if (!e.contains(above)) {
		e.scrollIntoView({ block: "center" }); // it may be below something that stays in place
		return [];
	}
	window.testHit = false;
	e.addEventListener("click", () => (window.testHit = true), { capture: true, once: true });
	return now;
})()`

// press presses keys one after the other, as a person does.
func (w *webPage) press(keys string, modifiers ...chromedp.Modifier) {
	w.t.Helper()
	w.do(chromedp.KeyEvent(keys, chromedp.KeyModifiers(modifiers...)))
}

// look sets the size of the page in pixels and whether the system prefers dark colours.
func (w *webPage) look(width, height int64, dark bool) {
	w.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	w.do(chromedp.EmulateViewport(width, height), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

func (w *webPage) noErrors() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.errors {
		w.t.Errorf("a script failed: %s", e)
	}
	w.errors = nil
}
