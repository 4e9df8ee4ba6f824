package metainfo

import (
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fragile says why the name of a file or folder is not valid on every system, as the end
// of a sentence; "" means that it is.
func Fragile(name string) string {
	if !utf8.ValidString(name) {
		return "is not UTF-8, which a torrent needs"
	}
	if component(name) != name {
		return "contains a character that other clients replace"
	}
	if dosName(name) != name {
		return "cannot be a name on Windows"
	}
	if !norm.NFC.IsNormalString(name) {
		return "is spelled with separate accents, which other systems may join"
	}
	return ""
}

// Composed returns the name with composed accents (Unicode's NFC), the form that most
// systems produce for typed text.
func Composed(name string) string { return norm.NFC.String(name) }
