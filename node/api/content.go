package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/addrs"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/daemon/token"
	"seedbed/node/stream"
)

const (
	// maxReaders is the maximum number of files that are served at a time. Players open two or three.
	// The gate says how many of them one token or client may have.
	maxReaders = 64
	// stallAfter is how long a reader may take no data, or wait for data, before its connection is
	// closed. A player whose user pauses for longer connects again and continues.
	stallAfter = 10 * time.Minute
)

// addContent adds the operations that serve the data of files.
func (a *api) addContent(mux *http.ServeMux) {
	op := operation(http.MethodGet, "/v1/torrents/{id}/files/{number}/content", "get-content", "Read a file, also while it downloads", token.Read)
	op.Description = "Supports ranges, also during the download: what the reader needs is downloaded first. Needs a selected file. " +
		"If the torrent does not run, verified data can be read, and missing data is an error. " +
		"The files of a torrent in an object store are read from there, also while it is paused. If the store does not answer for a minute, the answer is 503 with Retry-After, or the connection is closed if the answer has begun."
	op.Parameters = []*huma.Param{
		{Name: "id", In: "path", Required: true, Description: "An infohash, the beginning of one (at least 4 digits), or the torrent's number.", Schema: &huma.Schema{Type: "string"}},
		{Name: "number", In: "path", Required: true, Description: "The number of the file, from 1.", Schema: &huma.Schema{Type: "integer"}},
		{Name: "download", In: "query", Description: "A browser saves the file instead of showing it.", Schema: &huma.Schema{Type: "boolean"}},
		{Name: "Range", In: "header", Description: "As in RFC 9110: bytes=FIRST-LAST.", Schema: &huma.Schema{Type: "string"}},
	}
	a.addRaw(mux, op, map[string]string{"200": "The whole file.", "206": "The ranges.", "304": "The file is that of If-None-Match.", "416": "The file has no such range.", "429": "This client or token reads too many files; see Retry-After.", "504": "No data has come for ten minutes."}, "application/octet-stream", a.content)
	list := operation(http.MethodGet, "/v1/torrents/{id}/playlist.m3u8", "get-playlist", "Show a playlist of a torrent, for a player", token.Read)
	list.Description = "The playlist (M3U) has a link to each selected video and audio file, which a player can open without a token for 12 hours."
	list.Parameters = op.Parameters[:1]
	a.addRaw(mux, list, map[string]string{"200": "The playlist."}, "audio/x-mpegurl", a.playlist)
}

// addRaw adds an operation whose handler writes the answer itself. answers describes what it may
// answer, by the status.
func (a *api) addRaw(mux *http.ServeMux, op huma.Operation, answers map[string]string, media string, h http.HandlerFunc) {
	scope := op.Metadata[scopeKey].(token.Scope)
	op.Responses = map[string]*huma.Response{}
	for status, text := range answers {
		op.Responses[status] = &huma.Response{Description: text}
		if status[0] == '2' {
			op.Responses[status].Content = map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: "string", Format: "binary"}}}
		}
	}
	for _, status := range append(op.Errors, http.StatusConflict, http.StatusServiceUnavailable) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}}}
	}
	a.huma.OpenAPI().AddOperation(&op)
	mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		if guard.ScopeOf(r.Context()) < scope {
			writeProblem(w, missingScope(scope))
			return
		}
		h(w, r)
	})
}

// content serves a file to a client with a token.
func (a *api) content(w http.ResponseWriter, r *http.Request) {
	t, err := a.Find(r.PathValue("id"))
	if err != nil {
		a.writeError(w, err)
		return
	}
	a.serveFile(w, r, t, r.PathValue("number"), guard.TokenOf(r.Context()))
}

// serveFile serves the file of a torrent with that number. account is the id of the token that allows
// it, or "".
func (a *api) serveFile(w http.ResponseWriter, r *http.Request, t *node.Torrent, number, account string) {
	client := stream.Client{Account: account}
	if addr := guard.AddrOf(r.Context()); addr.IsValid() {
		client.Net = addrs.ClientNet(addr)
	}
	index, err := fileIndex(t.Info(), number)
	if err == nil {
		attach, _ := strconv.ParseBool(r.URL.Query().Get("download"))
		err = stream.Serve(w, r, stream.Request{Torrent: t, File: index, Gate: a.readers, Client: client, Stall: stallAfter, Attach: attach})
	}
	switch {
	case err == nil, r.Context().Err() != nil: // the client has gone
	case errors.Is(err, stream.ErrTooMany):
		writeProblem(w, &Problem{Status: http.StatusServiceUnavailable, Detail: err.Error(), Hint: "close other players", retry: 5})
	case errors.Is(err, stream.ErrTooManyOfClient):
		writeProblem(w, &Problem{Status: http.StatusTooManyRequests, Detail: err.Error(), Hint: "close some of the players, or wait until they have finished", retry: 5})
	case errors.Is(err, node.ErrNotSelected):
		writeProblem(w, &Problem{Status: http.StatusConflict, Detail: "file " + number + " of " + t.Name() + " is not selected", Hint: "select it first, so that it is downloaded"})
	default:
		a.writeError(w, err)
	}
}

// fileIndex returns the index of the file with that number in the files of a torrent; info is nil while its metadata is not known.
func fileIndex(info *metainfo.Info, number string) (int, error) {
	if info == nil {
		return 0, node.ErrNoMetadata
	}
	if n, err := strconv.Atoi(number); err == nil {
		if i, ok := info.FileIndex(n); ok {
			return i, nil
		}
	}
	return 0, node.ErrNoFile
}

// writeError answers with an error of an operation.
func (a *api) writeError(w http.ResponseWriter, err error) {
	var p *Problem
	if errors.As(a.problem(err), &p) {
		writeProblem(w, p)
	}
}
