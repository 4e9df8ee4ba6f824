package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"

	"seedbed/node/stream"
	"seedbed/node/tree"
)

// A Failure says why a publication or a file of it cannot be served.
type Failure struct {
	Code  int    // HTTP status
	Retry int    // seconds after which it may work; 0: it will not
	Title string // in a few words
	Text  string // what happened
	Hint  string // what to do; or ""
}

// Error implements error.
func (f *Failure) Error() string { return f.Text }

// problem is what an error page shows.
type problem = Failure

// style is that of all pages that the gateway makes. They load nothing.
const style = `:root{color-scheme:light dark;--b:#fff;--f:#1a1d21;--m:#667080;--l:#e3e6ea;--a:#0b62c4}
@media(prefers-color-scheme:dark){:root{--b:#15181c;--f:#e6e8eb;--m:#96a0ad;--l:#2b3037;--a:#6cb2ff}}
*{box-sizing:border-box}body{margin:0;background:var(--b);color:var(--f);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1rem}h1{font-size:1.4rem;line-height:1.3;margin:0 0 1rem;overflow-wrap:anywhere}
a{color:var(--a);text-decoration:none}a:hover{text-decoration:underline}p{margin:.5rem 0}.m{color:var(--m)}
table{width:100%;border-collapse:collapse}td{padding:.35rem .5rem;border-top:1px solid var(--l);overflow-wrap:anywhere}
td:last-child{text-align:right;white-space:nowrap;color:var(--m);font-variant-numeric:tabular-nums;width:1%}
tr:hover td{background:color-mix(in srgb,var(--l) 35%,transparent)}nav{margin:1rem 0;display:flex;gap:1rem}
footer{margin-top:2rem;padding-top:.75rem;border-top:1px solid var(--l);color:var(--m);font-size:.85rem;overflow-wrap:anywhere}
form{display:flex;gap:.5rem;margin:1rem 0}input{flex:1;min-width:0;font:inherit;padding:.5rem .7rem;border:1px solid var(--l);border-radius:.4rem;background:transparent;color:inherit}
button{font:inherit;padding:.5rem 1rem;border:0;border-radius:.4rem;background:var(--a);color:var(--b);cursor:pointer}
.n{font-size:.85rem;color:var(--m);margin:0 0 .25rem}code{font-size:.9em;overflow-wrap:anywhere}`

var templates = template.Must(template.New("").Funcs(template.FuncMap{"shown": shown, "size": sizeText}).Parse(`
{{define "head"}}<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{{.}}</title><style>` + style + `</style><main>{{end}}
{{define "error"}}{{template "head" .Title}}<p class="n">{{.Code}}</p><h1>{{.Title}}</h1><p>{{.Text}}</p>{{with .Hint}}<p class="m">{{.}}</p>{{end}}{{if .Retry}}<p class="m">This page tries again by itself.</p>{{end}}</main></html>
{{end}}
{{define "own"}}{{template "head" "seedbed gateway"}}<h1>Publications in the browser</h1>
<p>This gateway serves what is published under a key on the BitTorrent network. Each publication has an address, and an origin, of its own.</p>
<form action="/"><input name="q" value="{{.Query}}" aria-label="Key, link or name" placeholder="public key, magnet:?xs=urn:btpk:… or name" autofocus><button>Open</button></form>
{{with .Wrong}}<p><b>{{.}}</b></p>{{end}}
<p class="m">The address of a publication is <code>http://KEY.{{.Domain}}/</code>, where KEY is its public key in base32.</p></main></html>
{{end}}
{{define "folder"}}{{template "head" .Title}}<h1><a href="/"><bdi>{{shown .Name}}</bdi></a>{{range .Parents}} / <a href="{{.URL}}"><bdi>{{shown .Name}}</bdi></a>{{end}}</h1>
<table>{{if .Up}}<tr><td><a href="../">..</a></td><td></td></tr>{{end}}{{end}}
{{define "entry"}}<tr><td><a href="{{.URL}}"><bdi>{{shown .Name}}</bdi>{{if .IsFolder}}/{{end}}</a></td><td>{{if .IsFolder}}{{.Files}} {{if eq .Files 1}}file{{else}}files{{end}}, {{end}}{{size .Size}}</td></tr>
{{end}}
{{define "end"}}</table>{{if gt .Last 1}}<nav>{{if gt .Page 1}}<a href="?page=1">First</a><a href="?page={{.Before}}">Previous</a>{{end}}<span class="m">Page {{.Page}} of {{.Last}}</span>{{if lt .Page .Last}}<a href="?page={{.After}}">Next</a><a href="?page={{.Last}}">Last</a>{{end}}</nav>{{end}}
<footer><a href="{{.Alone}}">Version {{.Seq}}</a> · {{.Total}} files, {{size .Size}} · infohash {{.InfoHash}}</footer></main></html>
{{end}}`))

// shown returns a name as pages show it: without characters that control the text around them.
func shown(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
}

// sizeText returns a size in bytes for people.
func sizeText(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n, " B")
	}
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 5 {
		f /= 1000
		unit++
	}
	return fmt.Sprintf("%.3g %cB", f, " kMGTP"[unit])
}

// page begins an HTML page. The client has stallAfter to receive it.
func page(w http.ResponseWriter, csp string, code int) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(stallAfter)) // the recorder of a test has none
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	w.WriteHeader(code)
}

// showError answers with an error page.
func showError(w http.ResponseWriter, r *http.Request, p *problem) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if p.Retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.Retry))
		if r.Header.Get("Sec-Fetch-Mode") == "navigate" {
			h.Set("Refresh", strconv.Itoa(p.Retry))
		}
	}
	page(w, ownPolicy, p.Code)
	if r.Method != http.MethodHead {
		_ = templates.ExecuteTemplate(w, "error", p) // an error means that the client has disconnected
	}
}

// showFailure answers with an error of a Source or of stream.Answer.
func showFailure(w http.ResponseWriter, r *http.Request, err error) {
	var f *Failure
	switch {
	case errors.As(err, &f):
	case errors.Is(err, stream.ErrTooManyOfClient):
		f = &Failure{Code: http.StatusTooManyRequests, Retry: 1, Title: "Too many requests", Text: "You are reading too many files at the same time."}
	case errors.Is(err, stream.ErrTooMany):
		f = &Failure{Code: http.StatusServiceUnavailable, Retry: 1, Title: "Busy", Text: "Too many files are being read at this moment."}
	case errors.Is(err, stream.ErrStalled):
		f = &Failure{Code: http.StatusGatewayTimeout, Retry: 10, Title: "No data yet", Text: "The peers that have this file have not sent it so far."}
	default:
		f = &Failure{Code: http.StatusServiceUnavailable, Retry: 10, Title: "Not available", Text: "The file cannot be read now."}
	}
	showError(w, r, f)
}

// pageLength is how many entries a page of a folder has.
const pageLength = 1000

// listing is a page of a folder.
type listing struct {
	Title, Name               string
	Parents                   []entry
	Up                        bool
	Page, Before, After, Last int
	Seq, Size                 int64
	Total                     int
	InfoHash, Alone           string
}

// entry is a link to a file or folder.
type entry struct {
	tree.Entry
	URL string
}

// showFolder answers with a page of a folder: its folders first, then its files, by name. A page is
// written while the entries are listed, so that it takes little memory.
func (h *Handler) showFolder(w http.ResponseWriter, r *http.Request, v *Version, folder string) {
	entries := 0
	for range v.Tree.List(folder) {
		entries++
	}
	l := listing{Name: v.Tree.Name(), Up: folder != "", Seq: v.Seq, Size: v.Tree.Size(), Total: v.Tree.Len(), InfoHash: v.InfoHash.String(),
		Alone: h.clients.scheme(r) + v.Alone.Host(h.Domain) + portOf(r) + escapePath(folder, true),
		Last:  max(1, (entries+pageLength-1)/pageLength)}
	l.Page, _ = strconv.Atoi(r.URL.Query().Get("page")) // an invalid number is the first page
	l.Page = min(max(l.Page, 1), l.Last)
	l.Before, l.After = l.Page-1, l.Page+1
	l.Title = shown(l.Name)
	if folder != "" {
		l.Title = shown(path.Base(folder)) + " – " + l.Title
		at := ""
		for part := range strings.SplitSeq(folder, "/") {
			at = path.Join(at, part)
			l.Parents = append(l.Parents, entry{tree.Entry{Name: part}, escapePath(at, true)})
		}
	}
	page(w, ownPolicy, http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	b := bufio.NewWriter(w)
	err := templates.ExecuteTemplate(b, "folder", &l)
	k := 0
	for _, folders := range []bool{true, false} {
		for e := range v.Tree.List(folder) {
			if e.IsFolder != folders {
				continue
			}
			if k++; k <= l.Before*pageLength || k > l.Page*pageLength {
				continue
			}
			if err == nil {
				err = templates.ExecuteTemplate(b, "entry", entry{e, escapePath(path.Join(folder, e.Name), e.IsFolder)})
			}
		}
	}
	if err == nil {
		err = templates.ExecuteTemplate(b, "end", &l)
	}
	if err == nil {
		err = b.Flush()
	}
	_ = err // the client has disconnected
}
