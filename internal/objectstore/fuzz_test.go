package objectstore_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"seedbed/internal/objectstore"
)

// FuzzParseLocation checks that what is accepted is the same when it is printed and parsed again.
func FuzzParseLocation(f *testing.F) {
	for _, s := range []string{"s3://bucket", "s3://bucket/a/b", "s3://bucket//a//", "s3://b..t/a", "s3://bucket/" + strings.Repeat("a", 600), "s3://bucket/\x00\xff/..", "s4://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := objectstore.ParseLocation(text)
		if err != nil {
			return
		}
		if again, err := objectstore.ParseLocation(l.String()); err != nil || again != l || !l.Contains(l) {
			t.Errorf("%q is %+v, and then %+v, %v", text, l, again, err)
		}
		if l.Prefix != "" && (!strings.HasSuffix(l.Prefix, "/") || strings.HasPrefix(l.Prefix, "/")) || len(l.Prefix) > objectstore.MaxName/2 {
			t.Errorf("%q has the prefix %q", text, l.Prefix)
		}
	})
}

// answering returns a store whose server sends these bytes for each request, and then closes the connection.
func answering(t *testing.T, answer []byte) *objectstore.Store {
	t.Helper()
	s, err := objectstore.Open(objectstore.Config{At: objectstore.Location{Bucket: "bucket", Prefix: "data/"}, Endpoint: "http://8.8.8.8", Region: "us-east-1", Anonymous: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				r, err := http.ReadRequest(bufio.NewReader(theirs))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				send := answer
				if end := bytes.Index(answer, []byte("\r\n\r\n")); end >= 0 && r.Method == http.MethodHead {
					send = answer[:end+4]
				}
				_, _ = theirs.Write(send)
			}()
			return ours, nil
		}, Lookup: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// longestError is how long the text of an error may be in bytes, besides the name of the object.
const longestError = 4 << 10

// FuzzAnswers lets a store answer anything: what it says is an error that can be shown, or what was asked for.
func FuzzAnswers(f *testing.F) {
	add := func(status, header, body string) {
		f.Add([]byte("HTTP/1.1 " + status + "\r\n" + header + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body))
	}
	date := "Last-Modified: Wed, 02 Dec 2026 00:00:00 GMT\r\n"
	add("200 OK", date+"ETag: \"e\"\r\n", "0123456789")
	add("206 Partial", date+"ETag: W/\"e\"\r\nContent-Range: bytes 2-5/10\r\n", "2345")
	add("206 Partial", date+"ETag: \"other\"\r\nContent-Range: bytes 2-5/10\r\n", "2345")
	add("206 Partial", date+"ETag: \"e\"\r\nContent-Range: bytes 2-5/99999999999999999999\r\n", "2345")
	add("200 OK", "", "<ListBucketResult><Contents><Key>data/a/b</Key><Size>1</Size><ETag>&quot;e&quot;</ETag></Contents></ListBucketResult>")
	add("200 OK", "", "<ListBucketResult><Contents><Key>data/z/../../b</Key><Size>-1</Size></Contents></ListBucketResult>")
	add("200 OK", "", "<ListBucketResult><Contents><Key>data/other</Key><Size>1</Size></Contents><Contents><Key>other</Key><Size>9223372036854775808</Size></Contents></ListBucketResult>")
	add("200 OK", "", "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>data%2Fa%2F%00%ff%zz</Key></Contents></ListBucketResult>")
	add("200 OK", "", "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>")
	add("200 OK", "", "<ListMultipartUploadsResult><Upload><Key>data/a</Key><UploadId>1</UploadId></Upload></ListMultipartUploadsResult>")
	add("200 OK", "", "<ListPartsResult><Part><PartNumber>1</PartNumber><Size>-9</Size><ETag>x</ETag></Part></ListPartsResult>")
	add("200 OK", "", "<InitiateMultipartUploadResult><UploadId></UploadId></InitiateMultipartUploadResult>")
	add("200 OK", "", "<Error><Code>SlowDown</Code><Message>\x1b[2J</Message></Error>")
	add("403 No", "", "<Error><Code>AccessDenied</Code><Message>"+strings.Repeat("no ", 4000)+"</Message><Region>us-west-1</Region></Error>")
	add("301 Moved", "Location: http://127.0.0.1/\r\nx-amz-bucket-region: \x1b[2J\r\n", "")
	add("200 OK", "Transfer-Encoding: chunked\r\n", "ffffffffffffffff\r\n")
	f.Fuzz(func(t *testing.T, answer []byte) {
		synctest.Test(t, func(t *testing.T) { askAll(t, answering(t, answer)) }) // pauses cost no time
	})
}

// askAll asks a store everything.
func askAll(t *testing.T, s *objectstore.Store) {
	check := func(what string, err error) {
		t.Helper()
		if err != nil && (len(err.Error()) > longestError || objectstore.KindOf(err) == 0) {
			t.Errorf("%s: kind %d, %d bytes: %.300q", what, objectstore.KindOf(err), len(err.Error()), err)
		}
	}
	o, err := s.Stat(t.Context(), "a/b")
	check("stat", err)
	if err == nil && (o.Size < 0 || o.Name != "a/b") {
		t.Errorf("%+v", o)
	}
	n := 0
	for o, err := range s.List(t.Context(), "a/") {
		check("list", err)
		if err == nil && (o.Size < 0 || !strings.HasPrefix(o.Name, "a/")) {
			t.Errorf("listed: %+v", o)
		}
		if n++; n > 10_000 {
			t.Fatal("a list without end")
		}
	}
	for _, etag := range []string{"e", ""} {
		r, _, err := s.Read(t.Context(), objectstore.Object{Name: "a/b", Size: 10, ETag: etag}, 2, 4)
		check("read", err)
		if err == nil {
			b, err := io.ReadAll(r)
			check("read", err)
			if err == nil && len(b) != 4 {
				t.Errorf("%d bytes", len(b))
			}
			r.Close()
		}
	}
	b, o, err := s.Load(t.Context(), "a/b", 1<<20)
	check("load", err)
	if err == nil && int64(len(b)) != o.Size {
		t.Errorf("%d bytes of %+v", len(b), o)
	}
	u, err := s.Begin(t.Context(), "a/b", "")
	check("begin", err)
	if err == nil && u.ID == "" {
		t.Error("an upload without an id")
	}
	parts, err := s.Resume("a/b", "1").Parts(t.Context())
	check("parts", err)
	for _, p := range parts {
		if err == nil && (p.Number < 1 || p.Number > objectstore.MaxParts || p.Size < 0) {
			t.Errorf("%+v", p)
		}
	}
	p, err := s.Resume("a/b", "1").Write(t.Context(), 1, bytes.NewReader([]byte("x")), 1)
	check("write a part", err)
	if err == nil && p.Number != 1 {
		t.Errorf("%+v", p)
	}
	_, err = s.Resume("a/b", "1").Complete(t.Context(), parts, objectstore.Condition{})
	check("complete", err)
	for _, err := range s.Uploads(t.Context(), "a/") {
		check("uploads", err)
	}
	_, err = s.Write(t.Context(), "a/b", []byte("x"), "", objectstore.Condition{Absent: true})
	check("write", err)
	_, _ = s.IsPublic(t.Context(), "a/b")
	if hint := objectstore.AccessHint(err); !utf8.ValidString(hint) {
		t.Errorf("%q", hint)
	}
}
