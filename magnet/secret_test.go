package magnet

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"seedbed/internal/sealed"
)

var testSecret = sealed.NewSecret([sealed.SecretLen]byte{1, 2, 3})

func privateLink() *Link {
	return (&Link{PublicKey: [32]byte{7}, HasPublicKey: true, Name: "diary", Peers: []string{"192.0.2.1:6881"}}).WithSecret(testSecret)
}

func TestPrivateLinksAreReadAsTheyAreWritten(t *testing.T) {
	for _, l := range []*Link{privateLink(), privateLink().ToKeep()} {
		s := l.String()
		if strings.Contains(s, "&s=") {
			t.Errorf("the salt is in %s, where it follows from the secret", s)
		}
		got, err := Parse(s)
		if err != nil || !reflect.DeepEqual(got, l) {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
		if !got.IsPrivate() || !bytes.Equal(got.Salt, testSecret.Salt()) {
			t.Errorf("%+v", got)
		}
	}
	if s := privateLink().ToKeep().String(); strings.Contains(s, "diary") || strings.Contains(s, testSecret.Text()) {
		t.Errorf("the link to keep tells the name or the secret to read: %s", s)
	}
}

func TestPrivateLinksThatAreWrong(t *testing.T) {
	key := "magnet:?xs=urn:btpk:" + strings.Repeat("07", 32)
	read, keep := testSecret.Text(), testSecret.ToKeep().Text()
	for in, want := range map[string]string{
		key + "&x.read=" + read[:40]:                                          "a part of the link is missing",
		key + "&x.read=" + read[:10] + "7" + read[11:]:                        "mistyped",
		key + "&x.read=" + keep:                                               "belongs to x.keep",
		key + "&x.keep=" + read:                                               "belongs to x.read",
		key + "&x.keep=" + keep + "&x.read=" + read:                           "a second secret",
		key + "&x.keep=" + keep + "&s=ab":                                     "not the salt",
		key + "&x.read=2" + read[1:]:                                          "a version of the format that is not known",
		"magnet:?xt=urn:btih:" + strings.Repeat("ab", 20) + "&x.read=" + read: "has no public key",
	} {
		_, err := Parse(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, without %q", in, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), read[5:30]) || strings.Contains(err.Error(), keep[5:30])) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	if _, err := Parse(key + "&x.keep=" + keep + "&x.keep=" + keep); err != nil {
		t.Errorf("the same secret twice: %v", err)
	}
}
