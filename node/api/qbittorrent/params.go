package qbittorrent

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"seedbed/node/daemon/fetch"
)

const (
	// maxValues limits the parameters of a request in bytes. The infohashes of 20,000 torrents
	// take 820 kB.
	maxValues = 4 << 20
	// maxParts limits the parts of a multipart body.
	maxParts = 1000
)

// params are the parameters of a request: those of the URL, and of a form in the body, which take
// precedence. The first of several values counts.
type params struct {
	values map[string]string
	files  []file // of a multipart body
}

// A file is a part of a multipart body that has a file name.
type file struct {
	name string
	data []byte
}

// parse reads the parameters of a request. Files are an error unless the endpoint takes them.
func parse(r *http.Request, files bool) (p params, err error) {
	p.values = map[string]string{}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return p, fail(http.StatusBadRequest, "the parameters of the URL are not valid: %v", err)
	}
	p.set(query)
	if r.Method != http.MethodPost || r.Body == nil {
		return p, nil
	}
	kind, attributes, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "multipart/form-data" {
		return p, p.readParts(multipart.NewReader(r.Body, attributes["boundary"]), files)
	}
	// Some clients send a form without its Content-Type.
	b, err := readValue(r.Body, maxValues)
	if err != nil {
		return p, err
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return p, fail(http.StatusBadRequest, "the parameters of the body are not valid: %v", err)
	}
	p.set(form)
	return p, nil
}

func (p *params) set(values url.Values) {
	for name, v := range values {
		p.values[name] = v[0]
	}
}

// readValue reads r to its end, at most limit bytes.
func readValue(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large), err == nil && len(b) > limit:
		return nil, fail(http.StatusRequestEntityTooLarge, "the request is too large")
	case err != nil:
		return nil, fail(http.StatusBadRequest, "the body is not complete: %v", err)
	}
	return b, nil
}

// readParts reads a multipart body. The guard limits its size.
func (p *params) readParts(parts *multipart.Reader, files bool) error {
	left := maxValues
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fail(http.StatusBadRequest, "the body is not valid: %v", err)
		case n == maxParts:
			return fail(http.StatusRequestEntityTooLarge, "the body has more than %d parts", maxParts)
		}
		name := part.FileName()
		if name == "" {
			b, err := readValue(part, left)
			if err != nil {
				return err
			}
			left -= len(b)
			p.values[part.FormName()] = string(b)
			continue
		}
		if !files {
			return fail(http.StatusBadRequest, "a file is not expected here")
		}
		b, err := readValue(part, fetch.MaxTorrent)
		if err != nil {
			return err
		}
		p.files = append(p.files, file{name, b})
	}
}

// has reports whether a parameter was given.
func (p *params) has(name string) bool {
	_, ok := p.values[name]
	return ok
}

// get returns a parameter, or "".
func (p *params) get(name string) string { return p.values[name] }

// require returns an error unless all parameters were given.
func (p *params) require(names ...string) error {
	for _, name := range names {
		if !p.has(name) {
			return fail(http.StatusBadRequest, "the parameter %s is missing", name)
		}
	}
	return nil
}

// boolean returns a parameter as a boolean, or otherwise if it is not one.
func (p *params) boolean(name string, otherwise bool) bool {
	switch strings.ToLower(p.get(name)) {
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
		return false
	}
	return otherwise
}

// integer returns a parameter as an integer, or otherwise if it is not one.
func (p *params) integer(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(p.get(name)), 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

// number returns a parameter as a finite number, or otherwise if it is not one.
func (p *params) number(name string, otherwise float64) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(p.get(name)), 64)
	if err != nil || f-f != 0 {
		return otherwise
	}
	return f
}

// list returns the parts of a parameter, without spaces around them and without empty ones.
func (p *params) list(name, separator string) []string {
	parts := strings.Split(p.get(name), separator)
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return slices.DeleteFunc(parts, func(s string) bool { return s == "" })
}
