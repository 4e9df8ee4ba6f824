package api

import (
	_ "embed"
	"net/http"
)

// docs is the page that shows openapi.json. It loads nothing from elsewhere.
//
//go:embed docs.html
var docs []byte

func serveDocs(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(docs) // an error means that the client has gone
}
