package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/daemon/token"
	"seedbed/node/stream"
)

// StreamPath is the beginning of the paths of stream links. Their requests have no token, so the guard
// must pass them on (guard.Config.Open): the link itself proves that a client with a token asked for it.
const StreamPath = "/v1/stream/"

// A StreamLink is a URL for a player, which cannot send a token.
type StreamLink struct {
	URL     string `json:"url,omitempty" doc:"The URL. Left out if the daemon serves no TCP address."`
	Path    string `json:"path" doc:"The path of the URL, without a base path."`
	Expires string `json:"expires" format:"date-time" doc:"When the link expires. It also ends with its token and with the daemon."`
}

// ticket is what a stream link allows: reading one file of a torrent, or all its files and a playlist
// of them.
type ticket struct {
	expires time.Time
	torrent id.ID
	file    uint32  // its number; 0: all
	token   [4]byte // the id of the token with which it was made; zero: none was needed
}

const (
	ticketSize = 8 + id.Len + 4 + 4
	macSize    = 16
)

// ticketKey signs tickets. It is new in each process, so a restart ends all links.
type ticketKey [32]byte

func newTicketKey() (k ticketKey) {
	rand.Read(k[:])
	return k
}

func (k *ticketKey) mac(b []byte) []byte {
	h := hmac.New(sha256.New, k[:])
	h.Write(b)
	return h.Sum(nil)[:macSize]
}

// sign returns the text of a ticket.
func (k *ticketKey) sign(t *ticket) string {
	b := make([]byte, 0, ticketSize+macSize)
	b = binary.BigEndian.AppendUint64(b, uint64(t.expires.Unix()))
	b = append(b, t.torrent[:]...)
	b = binary.BigEndian.AppendUint32(b, t.file)
	b = append(b, t.token[:]...)
	return base64.RawURLEncoding.EncodeToString(append(b, k.mac(b)...))
}

// verify returns the ticket of a text that sign has returned, until it expires. The time that it takes
// says nothing about the signature.
func (k *ticketKey) verify(text string, now time.Time) (*ticket, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ticketSize+macSize {
		return nil, false
	}
	b, mac := b[:ticketSize], b[ticketSize:]
	if !hmac.Equal(k.mac(b), mac) {
		return nil, false
	}
	t := &ticket{expires: time.Unix(int64(binary.BigEndian.Uint64(b)), 0), torrent: id.ID(b[8 : 8+id.Len]),
		file: binary.BigEndian.Uint32(b[8+id.Len:]), token: [4]byte(b[ticketSize-4:])}
	return t, now.Before(t.expires)
}

// origin is the beginning of the URLs of this daemon as the client of a request sees it.
type origin struct{ base string }

// Resolve implements huma.Resolver.
func (o *origin) Resolve(ctx huma.Context) []error {
	r, _ := humago.Unwrap(ctx)
	o.base = baseOf(r)
	return nil
}

// baseOf returns the URL of the daemon as the client of a request sees it, with the base path and
// without a slash at the end, or "" for a client of the unix socket.
func baseOf(r *http.Request) string {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return ""
	}
	u := url.URL{Scheme: "http", Host: r.Host}
	// A wrong header of a client only makes its own link wrong.
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		u.Scheme = "https"
	}
	if asked, err := url.ParseRequestURI(r.RequestURI); err == nil {
		if base, ok := strings.CutSuffix(asked.Path, r.URL.Path); ok {
			u.Path = base
		}
	}
	return u.String()
}

// LinkPath has the parameters of a link to a torrent.
type LinkPath struct {
	TorrentPath
	origin
	Seconds int64 `query:"seconds" minimum:"1" maximum:"604800" default:"43200" doc:"How long the link is valid. What is being read when it expires may be read to its end."`
}

type fileLinkInput struct {
	LinkPath
	Number string `path:"number" doc:"The number of the file, from 1."`
}

type linkOutput struct{ Body StreamLink }

// addLinks adds the operations that make stream links, and the links themselves.
func (a *api) addLinks(mux *http.ServeMux) {
	file := operation(http.MethodPost, "/v1/torrents/{id}/files/{number}/link", "link-file", "Make a link to a file, for a player", token.Read)
	file.Description = "Whoever has the link can read this file, and nothing else, without a token until the link expires, its token is revoked or the daemon ends."
	huma.Register(a.huma, file, func(ctx context.Context, in *fileLinkInput) (*linkOutput, error) {
		t, err := a.Find(in.ID)
		if err != nil {
			return nil, a.problem(err)
		}
		info := t.Info()
		index, err := fileIndex(info, in.Number)
		if err == nil && !slices.Contains(t.Files(), index) {
			err = node.ErrNotSelected
		}
		if err != nil {
			return nil, a.problem(err)
		}
		number := info.FileNumber(index)
		return a.link(ctx, &in.LinkPath, t, number, stream.Path(number, t.FileName(index))), nil
	})
	all := operation(http.MethodPost, "/v1/torrents/{id}/link", "link-torrent", "Make a link to a playlist of a torrent, for a player", token.Read)
	all.Description = "The link is that of a playlist (M3U) of the selected video and audio files. Whoever has it can read all files of the torrent without a token until it expires."
	huma.Register(a.huma, all, func(ctx context.Context, in *LinkPath) (*linkOutput, error) {
		t, err := a.Find(in.ID)
		if err == nil && t.Info() == nil {
			err = node.ErrNoMetadata
		}
		if err != nil {
			return nil, a.problem(err)
		}
		return a.link(ctx, in, t, 0, "/playlist.m3u8"), nil
	})
	mux.HandleFunc("GET "+StreamPath+"{ticket}/playlist.m3u8", a.sharedPlaylist)
	mux.HandleFunc("GET "+StreamPath+"{ticket}/{number}", a.sharedFile)
	mux.HandleFunc("GET "+StreamPath+"{ticket}/{number}/{name...}", a.sharedFile)
}

// link makes a link to path, below a ticket for a file of t, or for all its files if number is 0.
func (a *api) link(ctx context.Context, in *LinkPath, t *node.Torrent, number int, path string) *linkOutput {
	k := &ticket{expires: time.Now().Add(time.Duration(in.Seconds) * time.Second), torrent: t.InfoHash(), file: uint32(number)}
	_, _ = hex.Decode(k.token[:], []byte(guard.TokenOf(ctx))) // an id has 8 hex digits
	out := &linkOutput{StreamLink{Path: StreamPath + a.tickets.sign(k) + path, Expires: k.expires.UTC().Format(time.RFC3339)}}
	base := in.base
	if base == "" && a.cfg.Serving != nil {
		if urls := a.cfg.Serving(); len(urls) > 0 {
			base = urls[0]
		}
	}
	if base != "" {
		out.Body.URL = base + out.Body.Path
	}
	return out
}

// id returns the id of the token with which the link was made, or "".
func (k *ticket) id() string {
	if k.token == ([4]byte{}) {
		return ""
	}
	return hex.EncodeToString(k.token[:])
}

// shared returns the ticket of a stream link and its torrent. It answers requests whose link is not
// valid, and returns nil.
func (a *api) shared(w http.ResponseWriter, r *http.Request) (*ticket, *node.Torrent) {
	k, ok := a.tickets.verify(r.PathValue("ticket"), time.Now())
	if ok && k.id() != "" {
		ok = slices.ContainsFunc(a.Tokens().List(), func(t token.Token) bool { return t.ID == k.id() })
	}
	if !ok {
		writeProblem(w, &Problem{Status: http.StatusForbidden, Detail: "this link has expired or is not valid", Hint: "make a new one"})
		return nil, nil
	}
	t := a.Node().Torrent(k.torrent)
	if t == nil {
		a.writeError(w, node.ErrUnknown)
		return nil, nil
	}
	w.Header().Del("Connection") // the guard treats the client like one with a wrong token
	w.Header().Set("Referrer-Policy", "no-referrer")
	return k, t
}

// sharedFile serves a file to a client with a link.
func (a *api) sharedFile(w http.ResponseWriter, r *http.Request) {
	k, t := a.shared(w, r)
	if t == nil {
		return
	}
	if number := r.PathValue("number"); k.file != 0 && number != strconv.Itoa(int(k.file)) {
		writeProblem(w, &Problem{Status: http.StatusForbidden, Detail: "this link is for another file"})
	} else {
		a.serveFile(w, r, t, number, k.id())
	}
}

// sharedPlaylist serves the playlist of a torrent to a client with a link.
func (a *api) sharedPlaylist(w http.ResponseWriter, r *http.Request) {
	k, t := a.shared(w, r)
	switch {
	case t == nil:
	case k.file != 0:
		writeProblem(w, &Problem{Status: http.StatusForbidden, Detail: "this link is for one file"})
	default:
		a.writePlaylist(w, t, baseOf(r)+StreamPath+r.PathValue("ticket"))
	}
}

// playlist serves the playlist of a torrent to a client with a token. A player cannot send the token,
// so the playlist has links, which are valid for playlistFor.
func (a *api) playlist(w http.ResponseWriter, r *http.Request) {
	t, err := a.Find(r.PathValue("id"))
	if err != nil {
		a.writeError(w, err)
		return
	}
	in := LinkPath{origin: origin{baseOf(r)}, Seconds: int64(playlistFor / time.Second)}
	l := a.link(r.Context(), &in, t, 0, "").Body
	to := l.URL
	if to == "" {
		to = l.Path
	}
	a.writePlaylist(w, t, to)
}

// playlistFor is how long the links in a playlist are valid.
const playlistFor = 12 * time.Hour

func (a *api) writePlaylist(w http.ResponseWriter, t *node.Torrent, root string) {
	if t.Info() == nil {
		a.writeError(w, node.ErrNoMetadata)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	stream.WritePlaylist(w, t, root)
}
