package transmission

import "net/http"

// web returns the handler of the files of the web page.
func (h *handler) web() http.Handler {
	if h.cfg.Web == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no web page is installed; name the folder with its files with --transmission-web", http.StatusNotFound)
		})
	}
	files := http.StripPrefix("/transmission/web/", http.FileServer(http.Dir(h.cfg.Web)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}
