package gateway

import (
	"path"
	"strings"

	"seedbed/node/stream"
)

// types maps extensions to the media types of what websites consist of. Those of video, audio and
// images are in node/stream, which serves some of these as text because it has no origins to keep
// apart.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".htm": "text/html; charset=utf-8", ".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".map": "application/json",
	".json": "application/json", ".wasm": "application/wasm", ".webmanifest": "application/manifest+json",
	".xhtml": "application/xhtml+xml", ".xml": "text/xml; charset=utf-8", ".xsl": "text/xml; charset=utf-8",
	".atom": "application/atom+xml", ".rss": "application/rss+xml", ".md": "text/plain; charset=utf-8",

	".ico": "image/x-icon", ".svg": "image/svg+xml",
	".otf": "font/otf", ".ttf": "font/ttf", ".woff": "font/woff", ".woff2": "font/woff2",
	".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml", ".geojson": "application/geo+json",
}

// typeOf returns the media type of a file from its name, or "" if it must be found from its content.
func typeOf(name string) string {
	if t, ok := types[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	return stream.MediaType(name)
}

// isText reports whether content of a type becomes smaller by compression.
func isText(mediaType string) bool {
	t, _, _ := strings.Cut(mediaType, ";")
	switch t {
	case "application/json", "application/wasm", "application/manifest+json", "application/geo+json", "image/svg+xml",
		"application/vnd.apple.mpegurl", "image/bmp", "image/x-icon", "font/ttf", "font/otf":
		return true
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+xml")
}
