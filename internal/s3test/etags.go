package s3test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
)

// etag matches the MD5 of a part, in hex.
var etag = regexp.MustCompile(`\b[0-9a-f]{32}\b`)

// turn makes another ETag of each in b, and turning again makes the first ones.
func turn(b []byte) []byte {
	return etag.ReplaceAllFunc(b, func(tag []byte) []byte {
		tag = bytes.Clone(tag)
		slices.Reverse(tag)
		return tag
	})
}

// encryptETags answers a request about the parts of an upload with other ETags, which are those that the client must name.
func encryptETags(fake http.Handler, w http.ResponseWriter, r *http.Request) {
	isComplete := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
	if isComplete {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		b = turn(b)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	}
	answer := httptest.NewRecorder()
	fake.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if r.URL.Query().Has("uploadId") && !isComplete {
		answer.Header().Set("ETag", string(turn([]byte(answer.Header().Get("ETag")))))
		body = turn(body)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

// weaken answers a request with a weak ETag.
func weaken(fake http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("If-Match") != "" {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	answer := httptest.NewRecorder()
	fake.ServeHTTP(answer, r)
	maps.Copy(w.Header(), answer.Header())
	if tag := answer.Header().Get("ETag"); tag != "" {
		w.Header().Set("ETag", "W/"+tag)
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// rename answers a request with another ETag, which is also that of conditions.
func rename(fake http.Handler, w http.ResponseWriter, r *http.Request) {
	if tag := r.Header.Get("If-Match"); tag != "" {
		r.Header.Set("If-Match", string(turn([]byte(tag))))
	}
	answer := httptest.NewRecorder()
	fake.ServeHTTP(answer, r)
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("ETag", string(turn([]byte(answer.Header().Get("ETag")))))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}
