package metainfo

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"seedbed/internal/bencode"
)

// Torrent is a torrent file: an info dictionary and additional entries.
type Torrent struct {
	Info         *Info
	Trackers     [][]string // tiers (BEP 12); for other clients, because we never contact trackers
	WebSeeds     []string   // BEP 19 url-list
	Nodes        []string   // BEP 5: DHT nodes as host:port
	Comment      string
	CreatedBy    string
	CreationDate int64 // Unix seconds; 0 means none

	// Warnings lists ignored entries outside the info dictionary. They are not part of
	// the file.
	Warnings []error
}

// maxExtras bounds the number of trackers, web seeds and nodes that are kept, each.
const maxExtras = 4096

// maxTorrentWarnings bounds the warnings about invalid entries, because a file may
// contain many.
const maxTorrentWarnings = 16

// ParseTorrent parses and checks a torrent file. The error is an *Error, or a
// *LayersError that wraps one. Only the info dictionary is essential: other entries of
// the wrong type are ignored, as by every client.
func ParseTorrent(b []byte) (*Torrent, error) {
	if len(b) > MaxTorrent {
		return nil, &Error{Reason: fmt.Sprintf("the file has %d bytes; at most %d are accepted", len(b), MaxTorrent)}
	}
	v, _, err := bencode.Parse(b, limits)
	if err != nil {
		return nil, &Error{Reason: "not a torrent file: " + err.Error()}
	}
	if v.Kind() != bencode.Dict {
		return nil, &Error{Reason: "not a torrent file: it is not a dictionary"}
	}
	var info bencode.Value
	t := &Torrent{}
	var announce string
	var layers bencode.Value
	for key, val := range v.Dict() {
		bad := "" // what is wrong
		str := func() (s string) {
			if val.Kind() != bencode.String {
				bad = "is not a string"
			}
			return text(val)
		}
		switch string(key) {
		case "info":
			if info != nil {
				return nil, &Error{Field: "info", Reason: "occurs twice"}
			}
			info = val
		case "announce":
			announce = str()
		case "announce-list":
			if t.Trackers = tiers(val); val.Kind() != bencode.List {
				bad = "is not a list of lists of URLs"
			}
		case "comment":
			t.Comment = str()
		case "comment.utf-8":
			if s := str(); s != "" && utf8.ValidString(s) {
				t.Comment = s
			}
		case "created by":
			t.CreatedBy = str()
		case "creation date":
			var ok bool
			if t.CreationDate, ok = val.Int(); !ok {
				bad = "is not a number of seconds"
			}
		case "nodes":
			if t.Nodes = nodes(val); len(t.Nodes) == 0 && (val.Kind() != bencode.List || val.Len() > 0) {
				bad = "is not a list of hosts and ports"
			}
		case "piece layers":
			layers = val
		case "url-list":
			if t.WebSeeds = urls(val); len(t.WebSeeds) == 0 && val.Len() > 0 || val.Kind() != bencode.List && val.Kind() != bencode.String {
				bad = "is not a list of URLs"
			}
		}
		if bad != "" {
			t.Warnings = append(t.Warnings, &Error{Field: string(key), Reason: bad + "; ignored"})
		}
	}
	if len(t.Warnings) > maxTorrentWarnings {
		t.Warnings = t.Warnings[:maxTorrentWarnings]
	}
	if info == nil {
		return nil, &Error{Field: "info", Reason: "is missing: not a torrent file"}
	}
	if t.Info, err = ParseInfo(info); err != nil {
		return nil, err
	}
	var lacks error
	if t.Info.HasV2() {
		// BEP 52: "A torrent is not valid if this field is absent" or wrong. A hybrid can
		// be used without it.
		if err := readLayers(layers, t.Info); err != nil {
			missing, isMissing := err.(noLayersError)
			if isMissing {
				err = missing.err
			}
			switch {
			case t.Info.HasV1():
				if layers != nil {
					t.Warnings = append(t.Warnings, err)
				}
			case isMissing:
				lacks = &LayersError{t, missing.err}
			default:
				return nil, err
			}
		}
	}
	// BEP 12: "If the 'announce-list' key is present, the client will ignore
	// the 'announce' key".
	if len(t.Trackers) == 0 && announce != "" {
		t.Trackers = [][]string{{announce}}
	}
	if lacks != nil {
		return nil, lacks
	}
	return t, nil
}

// Append appends the encoded torrent file, with keys in canonical order.
func (t *Torrent) Append(dst []byte) []byte {
	str := func(key, s string) {
		if s != "" {
			dst = bencode.AppendString(bencode.AppendString(dst, key), s)
		}
	}
	dst = append(dst, 'd')
	if len(t.Trackers) > 0 && len(t.Trackers[0]) > 0 {
		str("announce", t.Trackers[0][0])
	}
	if len(t.Trackers) > 1 || len(t.Trackers) == 1 && len(t.Trackers[0]) > 1 {
		dst = append(bencode.AppendString(dst, "announce-list"), 'l')
		for _, tier := range t.Trackers {
			dst = appendList(dst, tier)
		}
		dst = append(dst, 'e')
	}
	str("comment", t.Comment)
	str("created by", t.CreatedBy)
	if t.CreationDate != 0 {
		dst = bencode.AppendInt(bencode.AppendString(dst, "creation date"), t.CreationDate)
	}
	dst = append(bencode.AppendString(dst, "info"), t.Info.Raw...)
	if len(t.Nodes) > 0 {
		dst = append(bencode.AppendString(dst, "nodes"), 'l')
		for _, n := range t.Nodes {
			host, port, ok := splitNode(n)
			if !ok {
				continue
			}
			dst = bencode.AppendString(append(dst, 'l'), host)
			dst = append(bencode.AppendInt(dst, port), 'e')
		}
		dst = append(dst, 'e')
	}
	if t.Info.HasLayers() {
		dst = t.Info.appendLayers(bencode.AppendString(dst, "piece layers"))
	}
	if len(t.WebSeeds) > 0 {
		dst = appendList(bencode.AppendString(dst, "url-list"), t.WebSeeds)
	}
	return append(dst, 'e')
}

func appendList(dst []byte, list []string) []byte {
	dst = append(dst, 'l')
	for _, s := range list {
		dst = bencode.AppendString(dst, s)
	}
	return append(dst, 'e')
}

func text(v bencode.Value) string {
	b, _ := v.Bytes()
	return string(b)
}

// tiers parses BEP 12's list of lists of trackers.
func tiers(v bencode.Value) (out [][]string) {
	n := 0
	for tier := range v.List() {
		var urls []string
		for u := range tier.List() {
			if s := text(u); s != "" && n < maxExtras {
				urls = append(urls, s)
				n++
			}
		}
		if len(urls) > 0 {
			out = append(out, urls)
		}
	}
	return out
}

// urls parses BEP 19's url-list: "a single URL as a string or a list of them".
func urls(v bencode.Value) (out []string) {
	if s := text(v); s != "" {
		return []string{s}
	}
	for u := range v.List() {
		if s := text(u); s != "" && len(out) < maxExtras {
			out = append(out, s)
		}
	}
	return out
}

// nodes parses BEP 5's [["<host>", <port>], ...].
func nodes(v bencode.Value) (out []string) {
	for n := range v.List() {
		var part []bencode.Value
		for p := range n.List() {
			part = append(part, p)
		}
		if len(part) != 2 || len(out) == maxExtras {
			continue
		}
		host := text(part[0])
		port, _ := part[1].Int()
		if host == "" || port < 1 || port > math.MaxUint16 {
			continue
		}
		if strings.Contains(host, ":") {
			host = "[" + strings.Trim(host, "[]") + "]"
		}
		out = append(out, host+":"+strconv.FormatInt(port, 10))
	}
	return slices.Clip(out)
}

func splitNode(s string) (host string, port int64, ok bool) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 1 {
		return "", 0, false
	}
	host = strings.Trim(s[:colon], "[]")
	n, err := strconv.ParseUint(s[colon+1:], 10, 16)
	return host, int64(n), err == nil && host != ""
}
