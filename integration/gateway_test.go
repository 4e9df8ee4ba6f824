//go:build linux

package integration

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// makeWebsite creates a static site: a page with a style, a script and several hundred images, a film,
// and a script that reaches for other origins.
func makeWebsite(ctx context.Context, t testing.TB, images int, elsewhere string) (dir string) {
	dir = filepath.Join(t.TempDir(), "site")
	write := func(name, text string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	var tags strings.Builder
	for i := range images {
		write(fmt.Sprintf("images/%d.svg", i), fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>%d</title><rect width="9" height="9"/></svg>`, i))
		fmt.Fprintf(&tags, `<img src="/images/%d.svg">`, i)
	}
	write("style.css", "h1{color:rgb(1,2,3)}"+strings.Repeat("/* long */\n", 500))
	write("script.js", `document.querySelector("h1").textContent = "it runs"`)
	write("index.html", `<!doctype html><link rel="icon" href="data:,"><link rel="stylesheet" href="style.css"><h1>wait</h1><video src="film.webm" muted></video><script src="script.js"></script>`+tags.String())
	write("hostile.html", `<!doctype html><pre id="out"></pre><script>
(async () => {
  const out = {};
  const get = async (name, f) => { try { await f(); out[name] = "reached" } catch { out[name] = "refused" } };
  const image = (src) => new Promise((yes, no) => { const i = new Image(); i.onload = yes; i.onerror = no; i.src = src });
  await get("fetch", () => fetch("`+elsewhere+`style.css"));
  await get("opaque", () => fetch("`+elsewhere+`style.css", { mode: "no-cors" }));
  await get("image", () => image("`+elsewhere+`images/1.svg"));
  await get("gateway", () => fetch("http://127.0.0.1:" + location.port + "/", { mode: "no-cors" }));
  await get("worker", () => navigator.serviceWorker.register("/script.js"));
  await get("own", () => fetch("/script.js"));
  document.cookie = "a=b; domain=localhost"; // for all publications
  out.cookie = document.cookie;
  document.getElementById("out").textContent = JSON.stringify(out);
})()</script>`)
	output(ctx, t, "ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10:duration=30", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", filepath.Join(dir, "film.webm"))
	return dir
}

// publicationHost returns the host of the publication that a link names.
func publicationHost(t testing.TB, link string) string {
	key, err := hex.DecodeString(regexp.MustCompile(`urn:btpk:([0-9a-f]{64})`).FindStringSubmatch(link)[1])
	must(t, err)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key)) + ".localhost"
}

// A website of several hundred files is read in a browser through a gateway that knows nothing but the
// link: it is shown, a film can be sought, and a script reaches no other origin. curl gets what RFC 9110
// says. Only what is read is fetched.
func TestGateway(t *testing.T) {
	takeBrowser(t)
	needCommands(t, "ffmpeg", "curl")
	ctx := timeLimit(t)
	private4.join(t)
	entries := private4.entries(t)
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.MkdirAll(filepath.Join(other, "images"), 0o755))
	must(t, os.WriteFile(filepath.Join(other, "style.css"), []byte("secret"), 0o644))
	must(t, os.WriteFile(filepath.Join(other, "images", "1.svg"), []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), 0o644))
	second := run(t, "10.8.60.2", entered(entries, "publish", other, "--key", "other")...).wait(ctx, "published").Link

	g := run(t, "10.8.60.3", entered(entries, "gateway", "--http", "127.0.0.1:0")...)
	gate, err := url.Parse(g.wait(ctx, "serving").Addr)
	must(t, err)
	at := func(link, path string) string {
		return fmt.Sprintf("http://%s:%s/%s", publicationHost(t, link), gate.Port(), path)
	}
	const images = 300
	dir := makeWebsite(ctx, t, images, at(second, ""))
	publisher := run(t, "10.8.60.1", entered(entries, "publish", dir, "--key", "site", "--watch", "--watch-every", "300ms")...)
	link := publisher.wait(ctx, "published").Link

	page := browse(t, ctx, at(link, ""))
	page.until("the script", `document.querySelector("h1").textContent`, "it runs")
	page.until("the style", `getComputedStyle(document.querySelector("h1")).color`, "rgb(1, 2, 3)")
	page.until("every image", `[...document.images].filter((i) => i.complete && i.naturalWidth === 9).length`, fmt.Sprint(images))
	evaluate[string](page, `document.querySelector("video").currentTime = 20, "sought"`)
	page.until("the film at another place", `((v) => !v.seeking && v.readyState >= 2 && v.currentTime)(document.querySelector("video"))`, "20")
	page.noErrors()

	hostile := browse(t, ctx, at(link, "hostile.html"))
	hostile.until("what a hostile script reaches", `document.getElementById("out").textContent`,
		`{"fetch":"refused","opaque":"refused","image":"refused","gateway":"refused","worker":"refused","own":"reached","cookie":""}`)

	curlAt := func(host, port, path string, args ...string) string {
		return output(ctx, t, append([]string{"curl", "-sS", "--path-as-is", "--resolve", host + ":" + port + ":127.0.0.1", "-D", "-", "http://" + host + ":" + port + "/" + path}, args...)...)
	}
	curl := func(path string, args ...string) string {
		return curlAt(publicationHost(t, link), gate.Port(), path, args...)
	}
	has := func(what, answer string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(answer, p) {
				t.Errorf("%s: no %q in\n%.900s", what, p, answer)
			}
		}
	}
	film, err := os.ReadFile(filepath.Join(dir, "film.webm"))
	must(t, err)
	first := curl("style.css")
	has("a file", first, "200 OK", "Content-Type: text/css", "Cache-Control: no-cache", "Accept-Ranges: bytes")
	tag := regexp.MustCompile(`(?m)^Etag: ("[0-9a-f]{64}")\r$`).FindStringSubmatch(first)
	if tag == nil {
		t.Fatalf("the entity tag is not a merkle root:\n%.900s", first)
	}
	has("a conditional request", curl("style.css", "-H", "If-None-Match: "+tag[1]), "304 Not Modified")
	has("a range", curl("style.css", "-r", "3-7"), "206 Partial Content", "Content-Range: bytes 3-7/", "\r\n\r\ncolor")
	has("a range of another version", curl("style.css", "-r", "3-7", "-H", `If-Range: "x"`), "200 OK")
	has("two ranges", curl("style.css", "-r", "0-1,3-7"), "206 Partial Content", "multipart/byteranges", "color")
	has("a range beyond the end", curl("film.webm", "-r", fmt.Sprint(len(film), "-")), "416 ", fmt.Sprintf("Content-Range: bytes */%d", len(film)))
	has("the end of the film", curl("film.webm", "-r", "-3", "-o", "/dev/null"), fmt.Sprintf("Content-Range: bytes %d-%d/%d", len(film)-3, len(film)-1, len(film)))
	has("HEAD", curl("film.webm", "-I"), "200 OK", fmt.Sprintf("Content-Length: %d", len(film)))
	has("HEAD with a range", curl("film.webm", "-I", "-r", "0-1"), "200 OK", fmt.Sprintf("Content-Length: %d", len(film)))
	has("another method", curl("", "-X", "POST"), "405 ", "Allow: GET, HEAD")
	has("compression", curl("style.css", "-H", "Accept-Encoding: gzip", "-o", "/dev/null"), "Content-Encoding: gzip", "Vary: Accept-Encoding", `-gzip"`)
	has("a folder", curl("images"), "307 ", "Location: /images/")
	has("the folder's page", curl("images/"), "200 OK", `href="/images/299.svg"`)
	has("nothing", curl("nothing"), "404 ")
	has("a way out", curl("../../../etc/passwd"), "404 ")
	has("an escaped way out", curl("%2e%2e/%2e%2e/etc/passwd"), "404 ")
	has("another host", curl("", "-H", "Host: evil.example"), "421 ")

	// A new version is shown by the same page, and an unchanged file is not sent again. The old one has an address.
	must(t, os.WriteFile(filepath.Join(dir, "script.js"), []byte(`document.querySelector("h1").textContent = "the second"`), 0o644))
	publisher.wait(ctx, "published", version(2))
	poll(ctx, t, "the second version", func() bool { return strings.Contains(curl("script.js"), "the second") })
	evaluate[string](page, `location.reload(), "reloaded"`)
	page.until("the script of the second version", `document.querySelector("h1").textContent`, "the second")
	has("a file that has not changed", curl("style.css", "-H", "If-None-Match: "+tag[1]), "304 Not Modified", "X-Publication-Version: 2")
	has("the first version", curlAt("v-1."+publicationHost(t, link), gate.Port(), "script.js"), "200 OK", "Cache-Control: public, max-age=31536000, immutable", "X-Publication-Version: 1", "it runs")

	d := run(t, "10.8.60.4", entered(entries, "daemon", "--gateway", "127.0.0.1:0", "--http", "off", "-d", t.TempDir(), "--state", t.TempDir())...)
	served, err := url.Parse(d.wait(ctx, "serving").Addr)
	must(t, err)
	has("the gateway of a daemon", curlAt(publicationHost(t, link), served.Port(), "script.js"), "200 OK", "the second")

	must(t, g.cmd.Process.Signal(interrupt))
	g.ends(ctx, 0)
}

// A publication that nobody on this machine has read is painted within a second after its peers are found.
// The time is that of the browser, from the navigation to the first contentful paint. The same folder from a
// plain file server is measured beside it.
func BenchmarkBarGateway(b *testing.B) {
	takeBrowser(b)
	needCommands(b, "ffmpeg", "curl")
	const limit = 1000 // ms
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	entry := []string{endpoint("10.8.61.1")}
	dir := makeWebsite(ctx, b, 300, "http://elsewhere.localhost/")
	link := run(b, "10.8.61.1", entered([]string{endpoint("10.8.61.2")}, "publish", dir, "--key", "site")...).wait(ctx, "published").Link
	plain := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer plain.Close()
	paint := func(at string) float64 {
		page := browse(b, ctx, at)
		page.until("the first paint", `performance.getEntriesByName("first-contentful-paint").length`, "1")
		return evaluate[float64](page, `performance.getEntriesByName("first-contentful-paint")[0].startTime`)
	}
	for range b.N { // -benchtime 1x
		var paints, plains []float64
		for range barRuns {
			plains = append(plains, paint(plain.URL))
			g := run(b, "10.8.61.2", entered(entry, "gateway", "--http", "127.0.0.1:0")...)
			gate, err := url.Parse(g.wait(ctx, "serving").Addr)
			must(b, err)
			host := publicationHost(b, link)
			at := fmt.Sprintf("http://%s:%s/", host, gate.Port())
			poll(ctx, b, "the peers", func() bool { // only the metadata is fetched for what does not exist
				return output(ctx, b, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", host+":"+gate.Port()+":127.0.0.1", at+"nothing") == "404"
			})
			paints = append(paints, paint(at))
			must(b, g.cmd.Process.Signal(interrupt))
			g.ends(ctx, 0)
		}
		b.ReportMetric(median(paints), "ms-to-paint")
		b.ReportMetric(median(plains), "ms-to-paint-plain")
		b.ReportMetric(limit, "limit")
		b.ReportMetric(0, "ns/op")
		if median(paints) > limit {
			b.Errorf("the first paint took %.0f ms, over the limit of %d", median(paints), limit)
		}
	}
}
