package objectstore_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
)

// openSigned opens the bucket with the credentials of a shared file, which it returns.
func openSigned(t *testing.T, server *s3test.Store) (s *objectstore.Store, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "credentials")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	writeKey(t, file, "old")
	s, err := objectstore.Open(objectstore.Config{At: objectstore.Location{Bucket: s3test.Bucket}, Endpoint: "http://store.test", Region: "us-east-1", Dial: server.Dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, file
}

func writeKey(t *testing.T, file, key string) {
	t.Helper()
	if err := os.WriteFile(file, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = secret\n", key), 0o600); err != nil {
		t.Fatal(err)
	}
}

// refuse makes a store refuse requests that are signed with a key. Answers to HEAD have no text.
func refuse(server *s3test.Store, key string, status int, code string) {
	server.SetFault(func(r *http.Request) s3test.Fault {
		if !strings.Contains(r.Header.Get("Authorization"), "Credential="+key+"/") {
			return s3test.Fault{}
		}
		f := s3test.Fault{Status: status}
		if r.Method != http.MethodHead {
			f.Body = fmt.Appendf(nil, "<Error><Code>%s</Code><Message>refused</Message></Error>", code)
		}
		return f
	})
}

// Each reason that credentials are not accepted has its own advice, also if the object is only described, without a text.
func TestRefusedCredentials(t *testing.T) {
	server := s3test.New(t)
	server.Put("file", []byte("0123456789"))
	for code, c := range map[string]struct {
		status int
		advice string
	}{
		"RequestTimeTooSkewed":  {http.StatusForbidden, "clock"},
		"ExpiredToken":          {http.StatusBadRequest, "the session of the credentials is over"},
		"InvalidToken":          {http.StatusBadRequest, "check AWS_SESSION_TOKEN"},
		"InvalidAccessKeyId":    {http.StatusForbidden, "check AWS_ACCESS_KEY_ID"},
		"SignatureDoesNotMatch": {http.StatusForbidden, "check AWS_SECRET_ACCESS_KEY"},
		"AccessDenied":          {http.StatusForbidden, "give credentials that may do this"},
	} {
		s, _ := openSigned(t, server)
		refuse(server, "old", c.status, code)
		_, errStat := s.Stat(t.Context(), "file")
		_, errRead := read(t, s, objectstore.Object{Name: "file", Size: 10}, 0, 5)
		for _, err := range []error{errStat, errRead} {
			var e *objectstore.Error
			if !errors.As(err, &e) || e.Kind != objectstore.Denied || !strings.Contains(e.Hint(), c.advice) {
				t.Errorf("%s: %v", code, err)
			}
		}
		if (objectstore.AccessHint(errStat) == "") != (code == "AccessDenied") {
			t.Errorf("%s: advice %q", code, objectstore.AccessHint(errStat))
		}
	}
}

// The region of a bucket is also learned from a store that refuses to describe an object.
func TestTheRegionOfAnObject(t *testing.T) {
	server := s3test.New(t)
	s, _ := openSigned(t, server)
	refuse(server, "old", http.StatusBadRequest, "AuthorizationHeaderMalformed")
	if _, err := s.Stat(t.Context(), "file"); objectstore.KindOf(err) != objectstore.Elsewhere {
		t.Errorf("error: %v", err)
	}
}

// A program that renews the shared file of credentials need not start us again.
func TestRenewedCredentials(t *testing.T) {
	server := s3test.New(t)
	server.Put("file", []byte("0123456789"))
	for _, code := range []string{"ExpiredToken", "InvalidToken", "InvalidAccessKeyId"} {
		s, file := openSigned(t, server)
		server.SetFault(nil)
		stat(t, s, "file")
		refuse(server, "old", http.StatusBadRequest, code)
		if _, err := s.Stat(t.Context(), "file"); objectstore.KindOf(err) != objectstore.Denied {
			t.Errorf("%s: %v", code, err)
		}
		writeKey(t, file, "new")
		if _, err := s.Stat(t.Context(), "file"); err != nil {
			t.Errorf("%s, after the renewal: %v", code, err)
		}
	}
}
