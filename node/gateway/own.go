package gateway

import (
	"errors"
	"net/http"
	"strings"

	"seedbed/internal/id"
	"seedbed/magnet"
)

// maxQuery is the maximum length of what is pasted on the gateway's own page, in bytes.
const maxQuery = 4 << 10

// serveOwn answers requests for the gateway's own host: a page with a field into which a key, a link
// or a name is pasted.
func (h *Handler) serveOwn(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		showError(w, r, &problem{Code: http.StatusNotFound, Title: "Not found", Text: "The gateway itself has one page.", Hint: "Open / and paste a key or a link there."})
		return
	}
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	data := struct{ Query, Wrong, Domain string }{Query: q, Domain: h.Domain + portOf(r)}
	code := http.StatusOK
	if q != "" {
		a, err := ParseAddress(q)
		if err == nil {
			w.Header().Set("Location", h.clients.scheme(r)+a.Host(h.Domain)+portOf(r)+"/")
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		data.Wrong, code = err.Error(), http.StatusBadRequest
	}
	page(w, ownPolicy, code)
	if r.Method != http.MethodHead {
		_ = templates.ExecuteTemplate(w, "own", &data) // an error means that the client has disconnected
	}
}

// portOf returns the port in the Host of a request, with its colon, or "".
func portOf(r *http.Request) string {
	if i := strings.LastIndexByte(r.Host, ':'); i >= 0 && !strings.HasSuffix(r.Host, "]") {
		return r.Host[i:]
	}
	return ""
}

// ParseAddress returns the address of the publication that a user means: a link with a public key, the
// key alone in hexadecimal or base32, or a DNS name.
func ParseAddress(s string) (a Address, err error) {
	s = strings.TrimSpace(s)
	if len(s) > maxQuery {
		return a, errors.New("this is too long for a key, a link or a name")
	}
	if strings.HasPrefix(strings.ToLower(s), "magnet:") {
		l, err := magnet.Parse(s)
		switch {
		case err != nil:
			return a, err
		case !l.HasPublicKey:
			return a, errors.New("this link names a torrent, not a publication: it has no xs=urn:btpk: with a public key")
		}
		return AddressOf(l), nil
	}
	s = strings.ToLower(s)
	if key, err := id.ParseHex32(s); err == nil && !key.IsZero() {
		return Address{Key: key}, nil
	}
	if len(s) == keyLabel {
		if key, err := decode(s); err == nil {
			return Address{Key: id.ID32(key)}, nil
		}
	}
	if isName(s) {
		return Address{Name: s}, nil
	}
	return a, errors.New("this is neither a public key nor a link with one, nor a name such as example.org")
}
