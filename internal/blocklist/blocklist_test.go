package blocklist

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

const mixed = `# a comment
1.2.3.0/24
2001:db8::/32

9.9.9.9
7.0.0.1 - 7.0.0.3
Some, one: with colons:8.8.0.0-8.8.255.255
IPv6 too:2001:470::-2001:470::ff
005.006.007.008 - 005.006.007.009 , 000 , Bad people
010.000.000.000 - 010.000.000.255 , 200 , Allowed people
`

func TestForms(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(mixed))
	z.Close()
	for name, text := range map[string]string{"plain": mixed, "gzip": zipped.String(), "CRLF and BOM": "\ufeff" + strings.ReplaceAll(mixed, "\n", "\r\n")} {
		l := new(List)
		if err := l.Read(strings.NewReader(text)); err != nil {
			t.Fatal(name, err)
		}
		if l.Len() != 7 {
			t.Errorf("%s: %d lines", name, l.Len())
		}
		for a, want := range map[string]bool{
			"1.2.3.4": true, "::ffff:1.2.3.4": true, "1.2.4.4": false, "2001:db8:1::1": true, "2001:db9::": false, "9.9.9.9": true, "9.9.9.8": false,
			"7.0.0.0": false, "7.0.0.1": true, "7.0.0.3": true, "7.0.0.4": false, "8.8.8.8": true, "2001:470::1": true, "2001:470::100": false,
			"5.6.7.7": false, "5.6.7.8": true, "5.6.7.9": true, "5.6.7.10": false, "10.0.0.1": false,
		} {
			if got := l.Contains(netip.MustParseAddr(a)); got != want {
				t.Errorf("%s: %s: %v", name, a, got)
			}
		}
	}
	var none *List
	if none.Contains(netip.MustParseAddr("1.2.3.4")) || none.Len() != 0 {
		t.Error("the empty list blocks")
	}
}

// A list with an unreadable line is rejected, and the error names the line.
func TestFaultyLines(t *testing.T) {
	for _, line := range []string{"what", "1.2.3.4-", "1.2.3.9-1.2.3.4", "1.2.3.4-2001::", "name:1.2.3", "1.2.3.256", "1.2.3.4 - 1.2.3.5 , x ,", strings.Repeat("x", 5000)} {
		err := new(List).Read(strings.NewReader("1.1.1.1\n" + line + "\n"))
		var e *Error
		if !errors.As(err, &e) || e.Line != 2 {
			t.Errorf("%.20q: %v", line, err)
		}
	}
	if err := new(List).Read(strings.NewReader("\x1f\x8bno gzip")); err == nil {
		t.Error("broken gzip was read")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(mixed))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := new(List).Read(bytes.NewReader(b))
		if e, ok := errors.AsType[*Error](err); ok && (e.Line < 1 || e.Why == "") {
			t.Error(err)
		}
	})
}
