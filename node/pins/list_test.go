package pins

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"seedbed/magnet"
)

func parse(t testing.TB, text string) *magnet.Link {
	t.Helper()
	l, err := magnet.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	torrentLink     = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567"
	publicationLink = "magnet:?xs=urn:btpk:abababababababababababababababababababababababababababababababab"
)

// What FormatList writes, ParseList reads, once for each pin.
func TestAListIsReadAsItWasWritten(t *testing.T) {
	b := FormatList("x", []*magnet.Link{parse(t, torrentLink+"&dn=a"), parse(t, publicationLink+"&s=73"), parse(t, publicationLink), parse(t, torrentLink+"&dn=b")})
	links, skipped, err := ParseList(b)
	if err != nil || skipped != 0 || len(links) != 3 {
		t.Fatalf("%d links, %d skipped, %v in\n%s", len(links), skipped, err, b)
	}
}

// A list cannot make this machine contact the private network or web servers.
func TestAListGivesOnlyPublicHints(t *testing.T) {
	links, _, err := ParseList([]byte(listHeader + "\n" + torrentLink + "&x.pe=192.168.1.1:80&x.pe=127.0.0.1:22&x.pe=[fe80::1]:80&x.pe=router.lan:80&x.pe=203.0.114.7:6881&ws=http://10.0.0.1/admin&xs=http://10.0.0.1/x&tr=http://10.0.0.1/a"))
	if err != nil || len(links) != 1 {
		t.Fatal(links, err)
	}
	l := links[0]
	if fmt.Sprint(l.Peers) != "[203.0.114.7:6881]" || l.WebSeeds != nil || l.ExactSources != nil || l.Trackers != nil {
		t.Errorf("peers %v, web seeds %v, sources %v, trackers %v", l.Peers, l.WebSeeds, l.ExactSources, l.Trackers)
	}
	many := torrentLink
	for i := range 50 {
		many += fmt.Sprintf("&x.pe=203.0.114.%d:6881", i+1)
	}
	if links, _, _ = ParseList([]byte(listHeader + "\n" + many)); len(links) != 1 || len(links[0].Peers) != maxHints {
		t.Errorf("a link with 50 hints: %v", links)
	}
}

// A file that is not a list, or that is too large, is refused; single lines are skipped.
func TestHostileLists(t *testing.T) {
	var long strings.Builder
	for i := range MaxListed + 1 {
		fmt.Fprintf(&long, "magnet:?xt=urn:btih:%040x\n", i)
	}
	for name, text := range map[string]string{
		"empty": "", "no header": torrentLink, "a later version": "seedbed-pins 2\n" + torrentLink,
		"many links": listHeader + "\n" + long.String(), "large": listHeader + "\n" + strings.Repeat("#\n", MaxListBytes/2),
		"many duplicates": listHeader + "\n" + strings.Repeat(torrentLink+"\n", MaxListed+1),
	} {
		if links, _, err := ParseList([]byte(text)); err == nil || links != nil {
			t.Errorf("%s: %d links", name, len(links))
		}
	}
	text := listHeader + "\r\n# comment\n\n" + strings.Join([]string{"nonsense", torrentLink + "&dn=" + strings.Repeat("x", maxLine), "magnet:?dn=x", "magnet:?xt=urn:btih:1", publicationLink}, "\r\n")
	links, skipped, err := ParseList([]byte(text))
	if err != nil || len(links) != 1 || skipped != 4 {
		t.Errorf("%d links, %d skipped, %v", len(links), skipped, err)
	}
	if l := reduce(parse(t, torrentLink+"&dn="+strings.Repeat("ä", maxName))); len(l.Name) > maxName || !strings.HasPrefix(strings.Repeat("ä", maxName), l.Name) {
		t.Errorf("a name of %d bytes", len(l.Name))
	}
}

func FuzzParseList(f *testing.F) {
	f.Add([]byte(listHeader + "\n" + torrentLink + "\n" + publicationLink + "&s=73&x.pe=203.0.114.7:6881&dn=a%20b\n"))
	f.Add([]byte(listHeader + "\r\n#\r\n\r\n" + torrentLink))
	f.Add([]byte("seedbed-pins 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		links, _, err := ParseList(b)
		if err != nil {
			return
		}
		again := FormatList("x", links)
		second, skipped, err := ParseList(again)
		if err != nil || skipped != 0 || !bytes.Equal(FormatList("x", second), again) {
			t.Errorf("%d links become %d, %d skipped: %v", len(links), len(second), skipped, err)
		}
	})
}
