package httpd

import (
	"net/http"
	"strings"
)

// mergeSlashes serves a path with several slashes in a row as the one with one slash. Programs that
// join a base URL and a path write such paths, and treat the redirect that http.ServeMux would answer
// as an error.
func mergeSlashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for strings.Contains(r.URL.Path, "//") {
			r.URL.Path = strings.ReplaceAll(r.URL.Path, "//", "/")
			r.URL.RawPath = "" // the escaped form of Path
		}
		next.ServeHTTP(w, r)
	})
}
