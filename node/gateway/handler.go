package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"seedbed/internal/id"
	"seedbed/node/stream"
	"seedbed/node/tree"
)

// A Version is a version of a publication whose files can be read.
type Version struct {
	Seq      int64
	InfoHash id.ID
	Tree     *tree.Tree
	MaxFile  int64 // larger files are not served, in bytes; 0: no limit
	// Alone is the address of this version, whatever the newest one is.
	Alone Address
	// IsPrivate says that Tree is decrypted. Caches have to ask before each use of its files, because the
	// gateway may have lost the permission to read them.
	IsPrivate bool
}

// A Source finds the newest version of publications. Its errors are *Failure, or the cause of ctx.
type Source interface {
	// Newest returns the newest version of a publication that is known, or the one that a.Number
	// names. The caller reads it until it calls done. client is the network of the client.
	Newest(ctx context.Context, a Address, client netip.Prefix) (v *Version, done func(), err error)
}

// maxReaders is how many files are served at a time. A browser reads six of each origin.
const maxReaders = 256

// stallAfter is how long a client may take no data, or wait for the next.
const stallAfter = time.Minute

// HandlerConfig configures a Handler.
type HandlerConfig struct {
	Source Source // required
	Domain string // publications are below this host, in lower case; required
	// Public serves anyone: hosts outside the domain are DNS names of publications, and each client
	// is limited.
	Public bool
	// Proxies are reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted.
	Proxies []netip.Prefix
}

// Handler serves publications. It is an http.Handler.
type Handler struct {
	HandlerConfig
	clients  clients
	requests *buckets // of clients of a public gateway
	gate     *stream.Gate
	count    count
}

// NewHandler returns a Handler.
func NewHandler(cfg HandlerConfig) *Handler {
	return &Handler{HandlerConfig: cfg, clients: clients{cfg.Proxies}, requests: newBuckets(clientRate, clientBurst), gate: stream.NewGate(maxReaders), count: count{codes: map[int]int64{}}}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := counted{ResponseWriter: w}
	defer h.count.add(&c) // also if the answer is cut off
	h.serve(&c, r)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	setSandbox(w.Header())
	client := h.clients.of(r)
	if h.Public && !h.requests.allow(client) {
		showError(w, r, &problem{Code: http.StatusTooManyRequests, Retry: 1, Title: "Too many requests", Text: "Your network sends more requests than one client may."})
		return
	}
	a, isOwn, err := parseHost(r.Host, h.Domain, h.Public)
	hasBody := r.ContentLength != 0
	if hasBody {
		// The server would wait for the body before it answers, for as long as the client likes.
		w.Header().Set("Connection", "close")
	}
	switch {
	case err != nil:
		showError(w, r, &problem{Code: http.StatusMisdirectedRequest, Title: "Not a publication",
			Text: "This gateway does not serve the host of the address.", Hint: "Publications are at http://KEY." + h.Domain + ", where KEY is the public key in base32."})
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		showError(w, r, &problem{Code: http.StatusMethodNotAllowed, Title: "Method not allowed", Text: "Files can only be read."})
	case hasBody:
		showError(w, r, &problem{Code: http.StatusBadRequest, Title: "Bad request", Text: "This request has a body. Files can only be read: send it without one."})
	case isOwn:
		h.serveOwn(w, r)
	default:
		if why := refusal(r); why != "" {
			showError(w, r, &problem{Code: http.StatusForbidden, Title: "Refused", Text: why})
			return
		}
		h.servePublication(w, r, a, client)
	}
}

// servePublication answers a request for a file or a folder of a publication.
func (h *Handler) servePublication(w http.ResponseWriter, r *http.Request, a Address, client netip.Prefix) {
	p, isFolder, ok := parsePath(r.URL.EscapedPath())
	if !ok {
		showError(w, r, notFound)
		return
	}
	v, done, err := h.Source.Newest(r.Context(), a, client)
	if err != nil {
		showFailure(w, r, err)
		return
	}
	defer done()
	answer := fileAnswer{h, v, client, a.Number != 0}
	w.Header().Set("X-Publication-Version", strconv.FormatInt(v.Seq, 10))
	switch {
	case isFolder:
		index := path.Join(p, "index.html")
		if f, ok := v.Tree.Lookup(index); ok {
			answer.send(w, r, f, http.StatusOK)
			return
		}
		if v.Tree.HasFolder(p) {
			h.showFolder(w, r, v, p)
			return
		}
	case v.Tree.HasFolder(p):
		to := escapePath(p, true)
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect) // in the next version it may be a file
		return
	default:
		if f, ok := v.Tree.Lookup(p); ok {
			answer.send(w, r, f, http.StatusOK)
			return
		}
	}
	if f, ok := v.Tree.Lookup("404.html"); ok {
		for _, name := range []string{"Range", "If-Range", "If-None-Match", "If-Match"} { // these are about the file
			r.Header.Del(name)
		}
		answer.send(w, r, f, http.StatusNotFound)
		return
	}
	showError(w, r, notFound)
}

var notFound = &problem{Code: http.StatusNotFound, Title: "Not found", Text: "The publication has no such file."}

// fileAnswer answers a request with a file of a version.
type fileAnswer struct {
	*Handler
	version *Version
	client  netip.Prefix
	isFixed bool // the address names this version
}

// immutable is the Cache-Control of a file at the address of one version (RFC 8246).
const immutable = "public, max-age=31536000, immutable"

// send answers with a file. code is that of a whole file.
func (a fileAnswer) send(w http.ResponseWriter, r *http.Request, f tree.File, code int) {
	if most := a.version.MaxFile; most > 0 && f.Size > most {
		showError(w, r, &problem{Code: http.StatusInsufficientStorage, Title: "Too large",
			Text: fmt.Sprintf("The file has %s. This gateway keeps at most %s of a publication.", sizeText(f.Size), sizeText(most))})
		return
	}
	if r.Method == http.MethodHead { // RFC 9110, section 14.2: ranges are defined for GET only
		r.Header.Del("Range")
	}
	out := w
	if code != http.StatusOK {
		out = &withStatus{w, code}
	}
	packed := compress(out, r, f)
	if packed != nil {
		out = packed
	}
	answer := stream.Answer{Gate: a.gate, Client: stream.Client{Account: a.client.String()}, Stall: stallAfter, Open: func(ctx context.Context, header http.Header) (stream.Content, error) {
		c, err := a.version.Tree.Open(ctx, f.Path)
		if err != nil {
			return nil, err
		}
		kind := typeOf(path.Base(f.Path))
		if kind == "" {
			if kind, err = sniff(c); err != nil {
				return nil, errors.Join(err, c.Close())
			}
		}
		header.Set("Content-Type", kind)
		if code == http.StatusOK {
			header.Set("ETag", etag(f, packed != nil))
			if a.isFixed && !a.version.IsPrivate {
				header.Set("Cache-Control", immutable)
			}
		}
		return c, nil
	}}
	err := answer.Serve(out, r)
	if err == nil && packed != nil {
		err = packed.Close()
	}
	if err != nil {
		w.Header().Del("Vary")
		showFailure(w, r, err)
	}
}

// etag returns the entity tag of a file, which is that of its content, in whichever version.
func etag(f tree.File, packed bool) string {
	if packed {
		return `"` + f.Identity + `-gzip"`
	}
	return `"` + f.Identity + `"`
}

// sniffed is how many bytes decide about the type of a file, as in http.DetectContentType.
const sniffed = 512

// sniff returns the media type of a file whose name does not say it, from its first bytes.
func sniff(c tree.Reader) (string, error) {
	b := make([]byte, min(sniffed, c.Size()))
	n := 0
	for n < len(b) {
		k, err := c.Read(b[n:])
		if n += k; err != nil {
			return "", err
		}
	}
	_, err := c.Seek(0, 0)
	return http.DetectContentType(b), err
}

// withStatus replaces the status of an answer.
type withStatus struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (w *withStatus) WriteHeader(int) { w.ResponseWriter.WriteHeader(w.code) }

// Unwrap returns the writer for http.ResponseController.
func (w *withStatus) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// acceptsGzip reports whether a client accepts gzip (RFC 9110, section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	accepted := false
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(part, ";")
		coding = strings.ToLower(strings.TrimSpace(coding))
		if coding != "gzip" && coding != "*" {
			continue
		}
		q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
		weight, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		is := !ok || err == nil && weight > 0
		if coding == "gzip" {
			return is
		}
		accepted = is
	}
	return accepted
}
