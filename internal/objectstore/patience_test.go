package objectstore_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// Only the silence of the store ends a request, not that of the caller, who may wait for a disk.
func TestACallerMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New(t)
		s := server.Open("")
		for i := range 3 {
			server.Put(fmt.Sprint("file", i), make([]byte, 100_000))
		}
		n := 0
		for _, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Error(err)
			}
			n++
			time.Sleep(2 * objectstore.Patience)
		}
		if n != 3 {
			t.Errorf("%d objects", n)
		}
		uploads := 0
		for i := range 3 {
			if _, err := s.Begin(t.Context(), fmt.Sprint("upload", i), ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range s.Uploads(t.Context(), "") {
			if err != nil {
				t.Error(err)
			}
			uploads++
			time.Sleep(2 * objectstore.Patience)
		}
		if uploads != 3 {
			t.Errorf("%d uploads", uploads)
		}
		r, _, err := s.Read(t.Context(), stat(t, s, "file1"), 0, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range 10 {
			time.Sleep(2 * objectstore.Patience)
			if _, err := io.ReadFull(r, make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// slowly is a body that takes a second for every 16 KiB.
type slowly struct{ io.ReadCloser }

func (s slowly) Read(b []byte) (int, error) {
	time.Sleep(time.Second)
	return s.ReadCloser.Read(b[:min(len(b), 16<<10)])
}

// A write goes on as long as the store takes something.
func TestAWriteOnASlowLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := s3test.New(t)
		server.SetFault(func(r *http.Request) s3test.Fault {
			r.Body = slowly{r.Body}
			return s3test.Fault{}
		})
		data := bytes.Repeat([]byte("x"), 1<<20)
		if _, err := server.Open("").Write(t.Context(), "file", data, "text/plain", objectstore.Condition{}); err != nil || !bytes.Equal(server.Get("file"), data) {
			t.Error(err)
		}
	})
}

// Neither does one that lists uploads or their parts without end, or parts that cannot be.
func TestUploadsWithoutEnd(t *testing.T) {
	upload := "<Upload><Key>a</Key><UploadId>1</UploadId></Upload>"
	uploads := "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>%s</ListMultipartUploadsResult>"
	parts := "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>%d</NextPartNumberMarker>%s</ListPartsResult>"
	part := func(n int) string { return fmt.Sprintf("<Part><PartNumber>%d</PartNumber><Size>1</Size></Part>", n) }
	for what, answer := range map[string]func(request int) string{
		"the same uploads": func(int) string {
			return fmt.Sprintf(uploads, upload+"<NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>")
		},
		"no uploads": func(request int) string {
			return fmt.Sprintf(uploads, fmt.Sprintf("<NextKeyMarker>%d</NextKeyMarker>", request))
		},
		"the same parts": func(int) string { return fmt.Sprintf(parts, 1, part(1)) },
		"many parts":     func(request int) string { return fmt.Sprintf(parts, request, strings.Repeat(part(1), 1000)) },
		"part 0":         func(int) string { return fmt.Sprintf(parts, 1, part(0)) },
		"part 10001":     func(int) string { return fmt.Sprintf(parts, 1, part(10_001)) },
	} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			requests := 0
			server.SetFault(func(*http.Request) s3test.Fault {
				requests++
				return s3test.Fault{Status: http.StatusOK, Body: []byte(answer(requests))}
			})
			var last error
			if s := server.Open(""); strings.Contains(what, "uploads") {
				for _, last = range s.Uploads(t.Context(), "") {
				}
			} else {
				_, last = s.Resume("a", "1").Parts(t.Context())
			}
			if objectstore.KindOf(last) != objectstore.Unsupported || requests > 11 {
				t.Errorf("%s: %d requests, %v", what, requests, last)
			}
		})
	}
}

// A store that lists without end does not keep us for ever.
func TestListsWithoutEnd(t *testing.T) {
	page := func(first, n int) (b strings.Builder) {
		b.WriteString("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>")
		for i := range n {
			fmt.Fprintf(&b, "<Contents><Key>%05d</Key><Size>1</Size></Contents>", first+i)
		}
		b.WriteString("</ListBucketResult>")
		return b
	}
	for what, answer := range map[string]func(request int) string{
		"the same page": func(int) string { b := page(0, 10); return b.String() },
		"a cycle":       func(request int) string { b := page(max(0, request%7)*10, 10); return b.String() },
		"one answer":    func(int) string { return "<ListBucketResult>" + strings.Repeat(" ", 17<<20) },
	} {
		synctest.Test(t, func(t *testing.T) { // so that a busy machine is not taken for a silent store
			server := s3test.New(t)
			requests := 0
			server.SetFault(func(*http.Request) s3test.Fault {
				requests++
				return s3test.Fault{Status: http.StatusOK, Body: []byte(answer(requests))}
			})
			var last error
			n := 0
			for _, err := range server.Open("").List(t.Context(), "") {
				if last = err; n > 1000 {
					break
				}
				n++
			}
			if objectstore.KindOf(last) != objectstore.Unsupported {
				t.Errorf("%s: %d objects, %v", what, n, last)
			}
		})
	}
}

// A store that sends a few bytes now and then is as one that sends nothing, and so is one that sends some hundred bytes a second for minutes.
// A slow line is not, also if many reads share it.
func TestAPartThatComesInDrips(t *testing.T) {
	const never = 0
	for perSecond, ends := range map[int]time.Duration{1: 2 * objectstore.Patience, 400: 2 * objectstore.Patience, 600: 2 * time.Minute, 900: 2 * time.Minute, 1200: never, 64 << 10 / 16: never} {
		synctest.Test(t, func(t *testing.T) {
			server := s3test.New(t)
			s := server.Open("")
			const size = 1_000_000
			server.Put("file", make([]byte, size))
			o := stat(t, s, "file")
			server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Drip: perSecond} })
			began := time.Now()
			b, err := read(t, s, o, 0, size)
			if ends == never && (err != nil || len(b) != size) {
				t.Errorf("%d bytes a second: %d bytes, %v", perSecond, len(b), err)
			}
			if ends != never && (objectstore.KindOf(err) != objectstore.Unavailable || time.Since(began) > ends) {
				t.Errorf("%d bytes a second: %v after %v", perSecond, err, time.Since(began))
			}
		})
	}
}
