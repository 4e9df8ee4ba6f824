//go:build unix

package statefile

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Nothing here may block: a test that hangs fails by the test binary's time limit.
func TestSpecialFilesAreRefusedAtOnce(t *testing.T) {
	make := map[string]func(path string) error{
		"a FIFO":   func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a folder": func(p string) error { return os.Mkdir(p, 0o700) },
		"a device": func(p string) error { return os.Symlink("/dev/zero", p) },
		"a socket": func(p string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
			if err == nil {
				l.SetUnlinkOnClose(false)
				err = l.Close()
			}
			return err
		},
		"a link to a FIFO": func(p string) error {
			return errors.Join(syscall.Mkfifo(p+".to", 0o600), os.Symlink(p+".to", p))
		},
	}
	for what, mk := range make {
		t.Run(what, func(t *testing.T) {
			p := filepath.Join(t.TempDir(), "f")
			if err := mk(p); err != nil {
				t.Fatal(err)
			}
			var not *NotRegularError
			if _, err := Read(p); !errors.As(err, &not) {
				t.Errorf("Read gives %v", err)
			}
			if _, err := TryLock(p); !errors.As(err, &not) {
				t.Errorf("TryLock gives %v", err)
			}
			if what == "a folder" {
				return
			}
			if err := Write(p, []byte("x")); err != nil {
				t.Errorf("Write gives %v", err)
			}
			if b, err := Read(p); err != nil || string(b) != "x" {
				t.Errorf("Read after Write gives %q, %v", b, err)
			}
		})
	}
}
