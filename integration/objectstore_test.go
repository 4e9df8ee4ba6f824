//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// objectStore is an object store: versitygw, whose buckets are folders, or the S3 gateway of another one.
type objectStore struct {
	t        testing.TB
	url      string
	hostPort string
	config   string // file of s3cmd
	argv     []string
	folder   string // of the bucket, if the store is versitygw
	*process
}

const (
	bucket    = "bucket"
	accessKey = "seedbed"
	secretKey = "only for tests"
)

// startObjectStore starts an object store with an empty bucket.
func startObjectStore(ctx context.Context, t testing.TB, ip string) *objectStore {
	t.Helper()
	needCommands(t, "s3cmd")
	program := filepath.Join(npmPath("versitygw-v1.8.0"), "versitygw")
	if _, err := os.Stat(program); err != nil {
		skipIfMissing(t, []string{"there is no versitygw (`make peers` builds it)"})
	}
	base := t.TempDir()
	// About objects is what it remembers of them, for file systems without extended attributes.
	buckets, aboutObjects, hostPort := filepath.Join(base, "buckets"), filepath.Join(base, "about"), net.JoinHostPort(ip, "7070")
	must(t, os.MkdirAll(filepath.Join(buckets, bucket), 0o755))
	must(t, os.Mkdir(aboutObjects, 0o755))
	o := newObjectStore(t, hostPort, "env", "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey,
		program, "--quiet", "--keep-alive", "--port", hostPort, "posix", "--sidecar", aboutObjects, buckets)
	o.folder = filepath.Join(buckets, bucket)
	o.start(ctx)
	return o
}

// newObjectStore returns an object store that a command starts.
func newObjectStore(t testing.TB, hostPort string, argv ...string) *objectStore {
	t.Helper()
	o := &objectStore{t: t, url: "http://" + hostPort, hostPort: hostPort, config: filepath.Join(t.TempDir(), "s3cfg"), argv: argv}
	must(t, os.WriteFile(o.config, fmt.Appendf(nil, `[default]
access_key = %s
secret_key = %s
host_base = %[3]s
host_bucket = %[3]s
use_https = False
multipart_chunk_size_mb = 5
`, accessKey, secretKey, o.hostPort), 0o600))
	return o
}

// start starts the store, also after stop.
func (o *objectStore) start(ctx context.Context) {
	o.t.Helper()
	o.process = start(o.t, "the object store", nil, o.argv...)
	o.poll(ctx, "the object store", func() bool {
		c, err := net.Dial("tcp", o.hostPort)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// s3cmd runs s3cmd, which is independent of our library.
func (o *objectStore) s3cmd(ctx context.Context, args ...string) string {
	o.t.Helper()
	return output(ctx, o.t, append([]string{"s3cmd", "--config", o.config, "--no-progress"}, args...)...)
}

// put uploads the files of a payload below a prefix, which is empty or ends with a slash.
func (o *objectStore) put(ctx context.Context, p *payload, prefix string) {
	o.t.Helper()
	path := filepath.Join(p.parent, p.name)
	o.s3cmd(ctx, "put", "--recursive", path, "s3://"+bucket+"/"+prefix)
}

// command returns the beginning of a command line that runs seedbed with the credentials.
func (o *objectStore) command() []string {
	return []string{"env", "AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_ENDPOINT_URL=" + o.url,
		"AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", seedbed}
}

// open returns a client of ours for the objects below a prefix.
func (o *objectStore) open(prefix string) *objectstore.Store {
	o.t.Helper()
	at, err := objectstore.ParseLocation("s3://" + bucket + "/" + prefix)
	must(o.t, err)
	o.t.Setenv("AWS_ACCESS_KEY_ID", accessKey)
	o.t.Setenv("AWS_SECRET_ACCESS_KEY", secretKey)
	s, err := objectstore.Open(objectstore.Config{At: at, Endpoint: o.url, Region: "us-east-1", Dial: new(net.Dialer).DialContext})
	must(o.t, err)
	o.t.Cleanup(s.Close)
	return s
}

// A real store does what the client relies on: ranges, ETags, conditions, and uploads in parts that nobody sees before
// they are complete.
func TestObjectStore(t *testing.T) {
	need(t)
	ctx := timeLimit(t)
	o := startObjectStore(ctx, t, "10.20.1.1")
	s := o.open("folder")
	p := single(t, "film", 12<<20)
	data := p.files[0].data
	o.put(ctx, p, "folder/")

	film, err := s.Stat(ctx, "film")
	must(t, err)
	if film.Size != int64(len(data)) {
		t.Errorf("%+v, want %d bytes", film, len(data))
	}
	part := func(from objectstore.Object, off, n int64) ([]byte, error) {
		r, _, err := s.Read(ctx, from, off, n)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	for _, at := range []int64{0, 5<<20 - 1, film.Size - 3} {
		if b, err := part(film, at, 3); err != nil || !bytes.Equal(b, data[at:at+3]) {
			t.Errorf("3 bytes from %d: %x, %v", at, b, err)
		}
	}
	must(t, s.CheckConditions(ctx, "check/"))

	// Another program replaces the object.
	data[7] ^= 1
	p.write(t, p.parent)
	o.put(ctx, p, "folder/")
	if b, err := part(film, 0, 3); objectstore.KindOf(err) != objectstore.Changed {
		t.Errorf("a replaced object: %x, %v", b, err)
	}

	whole := data[:objectstore.MinPart+10]
	up, err := s.Begin(ctx, "made", "application/octet-stream")
	must(t, err)
	first, err := up.Write(ctx, 1, bytes.NewReader(whole), objectstore.MinPart)
	must(t, err)
	second, err := up.Write(ctx, 2, bytes.NewReader(whole[objectstore.MinPart:]), 10)
	must(t, err)
	if _, err := s.Stat(ctx, "made"); objectstore.KindOf(err) != objectstore.NotFound {
		t.Errorf("an upload that is not complete: %v", err)
	}
	open := 0
	for u, err := range s.Uploads(ctx, "") {
		must(t, err)
		if u.Name == "made" && u.ID == up.ID {
			open++
		}
	}
	if has, err := s.Resume("made", up.ID).Parts(ctx); err != nil || open != 1 || len(has) != 2 || has[0].ETag != first.ETag || has[1].ETag != second.ETag || has[0].Size != first.Size || has[1].Size != second.Size {
		t.Errorf("%d uploads with the parts %+v, %v", open, has, err)
	}
	_, err = up.Complete(ctx, []objectstore.Part{first, second}, objectstore.Condition{Absent: true})
	must(t, err)
	got := filepath.Join(t.TempDir(), "made")
	o.s3cmd(ctx, "get", "s3://"+bucket+"/folder/made", got)
	if b, err := os.ReadFile(got); err != nil || !bytes.Equal(b, whole) {
		t.Errorf("s3cmd reads %d bytes, %v", len(b), err)
	}
	up, err = s.Begin(ctx, "made", "")
	must(t, err)
	if first, err = up.Write(ctx, 1, bytes.NewReader(whole), 10); err == nil {
		_, err = up.Complete(ctx, []objectstore.Part{first}, objectstore.Condition{Absent: true})
	}
	if objectstore.KindOf(err) != objectstore.Changed {
		t.Errorf("an upload to an object that exists: %v", err)
	}
	must(t, up.Abort(ctx))

	o.stop()
	if _, err := part(film, 0, 3); objectstore.KindOf(err) != objectstore.Unavailable {
		t.Errorf("a store that does not run: %v", err)
	}
}

// The torrent of objects that another program has uploaded is that of the files.
func TestCreateOfObjects(t *testing.T) {
	t.Parallel()
	need(t)
	ctx := timeLimit(t)
	o := startObjectStore(ctx, t, "10.20.2.1")
	for _, p := range []*payload{tree(t, "folder of objects", 6<<20), single(t, "one object", 6<<20)} {
		o.put(ctx, p, "films/")
		o.create(ctx, t, p)
	}
}

// create makes a torrent of the objects of p, which is that of the files, and returns its path.
func (o *objectStore) create(ctx context.Context, t testing.TB, p *payload) string {
	t.Helper()
	made := filepath.Join(t.TempDir(), "made.torrent")
	output(ctx, t, append(o.command(), "create", inStore+"/"+p.name, "--piece-length", "256K", "-o", made)...)
	b, err := os.ReadFile(made)
	must(t, err)
	torrent, err := metainfo.ParseTorrent(b)
	must(t, err)
	if got := torrent.Info.Hash.String(); got != p.infohash {
		t.Errorf("%s: the infohash is %s, want %s", p.name, got, p.infohash)
	}
	return made
}
