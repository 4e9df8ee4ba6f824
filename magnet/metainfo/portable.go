package metainfo

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fragile says why a name of a file or folder would not survive on every system,
// as the end of a sentence; "" says that it would.
func Fragile(name string) string {
	if !utf8.ValidString(name) {
		return "is not UTF-8, which a torrent needs"
	}
	if component(name) != name {
		return "holds what no other client would write"
	}
	if dosName(name) != name {
		return "cannot be a name on Windows"
	}
	if !norm.NFC.IsNormalString(name) {
		return "is spelled with separate accents, which other systems may join"
	}
	return ""
}

// Composed is the name with its accents joined (Unicode's NFC), the spelling that most systems
// give to what is typed.
func Composed(name string) string { return norm.NFC.String(name) }
