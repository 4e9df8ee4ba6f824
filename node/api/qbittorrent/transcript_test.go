package qbittorrent

import (
	"bytes"
	"flag"
	"fmt"
	"mime/multipart"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the answers into testdata")

// TestTranscripts sends the requests of clients, in the order in which they send them, and
// compares the answers. A block is a request, a line ----, and the answer: the status, the media
// type and the body. A request is a line with the method, the path and the parameters. The method
// FILE sends the parameters as multipart, with the .torrent file that the parameter with the name
// of the part names: FILM, whose data is complete, or BOOK, whose data is missing. A line "wait"
// with an infohash waits until that torrent is complete.
//
// Words stand for what differs between runs: DIR (the download folder), TOKEN, TIME, and
// the infohashes FILM and BOOK.
func TestTranscripts(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := newTranscript(t).run(string(want))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			a, b := strings.Split(string(want), "\n"), strings.Split(got, "\n")
			for i := range max(len(a), len(b)) {
				if i >= len(a) || i >= len(b) || a[i] != b[i] {
					t.Fatalf("line %d\nwant %s\n got %s\nif the new answers are right, run the test with -update", i+1, strings.Join(a[i:min(i+1, len(a))], ""), strings.Join(b[i:min(i+1, len(b))], ""))
				}
			}
		})
	}
}

type transcript struct {
	*rig
	torrents map[string][]byte
	hide     *strings.Replacer
	show     *strings.Replacer
}

func newTranscript(t *testing.T) *transcript {
	r := newRig(t)
	film, filmFile := r.share("film", map[string]string{"film.mkv": strings.Repeat("film", 10000), "extra/film.srt": "text"})
	book, bookFile := r.share("book.epub", map[string]string{"": strings.Repeat("book", 10000)})
	if err := os.Remove(filepath.Join(r.dir, "book.epub")); err != nil {
		t.Fatal(err)
	}
	return &transcript{r, map[string][]byte{"FILM": filmFile, "BOOK": bookFile},
		strings.NewReplacer(r.dir, "DIR", url.QueryEscape(r.dir), "DIR", r.admin, "TOKEN", film, "FILM", book, "BOOK"),
		strings.NewReplacer("DIR", r.dir, "TOKEN", r.admin, "FILM", film, "BOOK", book)}
}

var (
	times  = regexp.MustCompile(`\b1[79]\d{8}\b`)
	ports  = regexp.MustCompile(`("listen_port"|listening on 127\.0\.0\.1):\d+`)
	counts = regexp.MustCompile(`("rid"|"dht_nodes"|"free_space_on_disk"|"time_active"|"seeding_time"|"time_elapsed"|"popularity"):[\d.e-]+`)
)

// run sends the requests of a transcript and returns it with the answers.
func (x *transcript) run(text string) string {
	var out strings.Builder
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		request, _, _ := strings.Cut(strings.TrimSpace(block), "\n----")
		out.WriteString(request + "\n----\n")
		for line := range strings.Lines(request) {
			line = strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "wait "):
				t, err := x.d.Find(x.show.Replace(strings.TrimPrefix(line, "wait ")))
				if err != nil {
					x.t.Fatal(err)
				}
				<-t.Done()
			default:
				x.settle()
				out.WriteString(x.answer(line))
			}
		}
		out.WriteString("\n\n")
	}
	return strings.TrimSpace(out.String()) + "\n"
}

// answer sends one request and returns the answer without what differs between runs.
func (x *transcript) answer(line string) string {
	method, rest, _ := strings.Cut(line, " ")
	path, parameters, _ := strings.Cut(rest, " ")
	var body bytes.Buffer
	kind := "application/x-www-form-urlencoded"
	switch method {
	case "FILE":
		method, kind = "POST", x.multipart(&body, parameters)
	default:
		body.WriteString(x.show.Replace(parameters))
	}
	req := httptest.NewRequest(method, "http://127.0.0.1:8009"+Path+x.show.Replace(path), &body)
	if method == "POST" {
		req.Header.Set("Content-Type", kind)
	}
	if x.sid != nil {
		req.AddCookie(x.sid)
	}
	w := httptest.NewRecorder()
	x.h.ServeHTTP(w, req)
	for _, c := range w.Result().Cookies() {
		x.sid = c
	}
	answer := x.hide.Replace(w.Body.String())
	answer = times.ReplaceAllString(answer, "TIME")
	answer = ports.ReplaceAllString(answer, "$1:PORT")
	answer = counts.ReplaceAllString(answer, "$1:N")
	return strings.TrimSpace(fmt.Sprintf("%d %s\n%s", w.Code, w.Header().Get("Content-Type"), answer))
}

// multipart writes parameters as a multipart body and returns its media type.
func (x *transcript) multipart(body *bytes.Buffer, parameters string) string {
	w := multipart.NewWriter(body)
	values, err := url.ParseQuery(parameters)
	if err != nil {
		x.t.Fatal(err)
	}
	for name, v := range values {
		if file, ok := x.torrents[v[0]]; ok {
			part, err := w.CreateFormFile(name, v[0]+".torrent")
			if err != nil {
				x.t.Fatal(err)
			}
			part.Write(file)
			continue
		}
		w.WriteField(name, x.show.Replace(v[0]))
	}
	w.Close()
	return w.FormDataContentType()
}
